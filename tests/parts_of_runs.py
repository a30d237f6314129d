"""What an analysis does, without a model: parts, and a table of them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from crosslens.findings import Findings
from crosslens.shards import Shard, Share


CONFIG, ORIGIN = {"seed": 0}, {"weights": "ab12"}
N_PARTS = 7
COMMAND = "crosslens analyse NAME --out OUT --shard=1/3 --resume"


def part(i: int) -> pd.DataFrame:
    return pd.DataFrame({"part": i, "value": [i / 3, i / 7]})


def share(out: Path, text: str, config=CONFIG, origin=ORIGIN, *, waits=False, resume=True):
    i, _, n = text.partition("/")
    shard = Shard(0 if i == "merge" else int(i), int(n), waits=waits)
    return Share.of(out, shard, config, provenance=origin, resume=resume, command=COMMAND)


def table(
    findings: Findings,
    computed: list[int] | None = None,
    part: Callable[[int], pd.DataFrame] = part,
) -> pd.DataFrame:
    """The table of all parts; `computed` gains those computed now."""

    def compute(i: int) -> dict[str, pd.DataFrame]:
        if computed is not None:
            computed.append(i)
        return {"t": part(i)}

    parts = {f"{i}": lambda i=i: compute(i) for i in range(N_PARTS)}
    found = pd.concat([each["t"] for each in findings.parts(["t"], parts)], ignore_index=True)
    findings.conclude()
    findings.table("t", found)
    return found
