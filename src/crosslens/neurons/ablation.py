"""What silencing schemes does to rankings: nDCG@10 per query, beside random neurons.

Vast et al. (2024), section 4, RQ3 and Table 4.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from ir_measures import ScoredDoc
from jaxtyping import Float

from ..batching.batches import scores_of
from ..corpora.collection import Collection
from ..effectiveness import evaluate
from ..engine.sweep import Progress, sweep_in_batches
from ..frames import Column, Frame, pd
from ..hooks import Hooked
from ..pairs import Pairs
from ..ranking import Run
from ..stats import benjamini_hochberg, bootstrap_interval, paired_test
from .schemes import Scheme
from .silencing import silence


SIGNIFICANT = 0.05


@torch.no_grad()
def silenced_scores(
    model: Hooked,
    pairs: Pairs,
    schemes: Sequence[Scheme],
    *,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Float[np.ndarray, "scheme pair"]:
    """The scores of `pairs` without the neurons of each scheme, exact; of an empty one, as is.

    Schemes of the same neurons are run once; pairs of like length together, and fewer where memory
    runs out.
    """
    keys = [scheme.chosen.tobytes() for scheme in schemes]
    distinct = {key: silence(each) for key, each in zip(keys, schemes, strict=True) if len(each)}
    cells = list(distinct.values())
    found = dict.fromkeys(keys, scores_of(model, pairs).double().numpy(force=True))
    if cells:
        scores = sweep_in_batches(
            model, pairs, cells, memory_budget=memory_budget, progress=progress
        )
        found |= dict(zip(distinct, scores.double().numpy(force=True), strict=True))
    return np.stack([found[key] for key in keys])


def controls(scheme: Scheme, n: int, seed: int) -> list[Scheme]:
    """`n` draws of as many random neurons in each layer, none of them of the scheme."""
    share = scheme.made.get("share", "")
    draw = np.random.default_rng([seed, crc32(f"{scheme.name} {share}".encode())])
    return [scheme.random(draw) for _ in range(n)]


def gain_by_query(
    rows: Frame, scores: Float[np.ndarray, " pair"], collection: Collection
) -> Column:
    """nDCG@10 of each query of `rows` (qid, docid), its documents ranked by `scores`."""
    run = Run.of(
        ScoredDoc(qid, docid, float(value))
        for qid, docid, value in zip(rows["qid"], rows["docid"], scores, strict=True)
    )
    values = evaluate(run, collection)
    return values[values.columns[0]].reindex(list(run))


def ablation_row(
    whole: Float[np.ndarray, " query"],
    silenced: Float[np.ndarray, " query"],
    drawn: Float[np.ndarray, "draw query"],
    *,
    seed: int = 0,
) -> dict[str, float | int]:
    """A cell of the paper's Table 4: nDCG@10 of the whole model and without a scheme.

    `change` is in per cent of the whole model's mean, with its 95 % bootstrap interval over
    queries; `p` is that of the two-sided paired t-test. `control` is the mean change over the
    random draws, with the smallest and largest; `p_beyond` tests the scheme against their mean,
    query by query.

    Raises:
        NotMeasurable: fewer than two queries.
        ValueError: the whole model has a gain of 0 on every query: no change is a share of it.
    """
    mean = float(whole.mean())
    if not mean > 0:
        raise ValueError("nDCG@10 of the whole model is 0 on every query: nothing can be lost")
    test = paired_test(silenced, whole)
    low, high = bootstrap_interval(silenced - whole, seed=seed)
    row = {
        "queries": test.n,
        "whole": mean,
        "silenced": float(silenced.mean()),
        "change": 100 * test.difference / mean,
        "low": 100 * float(low) / mean,
        "high": 100 * float(high) / mean,
        "t": test.statistic,
        "p": test.p_value,
        "draws": len(drawn),
    }
    if not len(drawn):
        return row
    changes = 100 * (drawn.mean(axis=1) - mean) / mean
    return row | {
        "control": float(changes.mean()),
        "control_low": float(changes.min()),
        "control_high": float(changes.max()),
        "p_beyond": paired_test(silenced, drawn.mean(axis=0)).p_value,
    }


def with_false_discoveries(table: Frame, columns: Sequence[str] = ("p",)) -> Frame:
    """The table with each column of p-values adjusted for the number of its rows, as NAME_fdr."""
    adjusted = {
        f"{name}_fdr": benjamini_hochberg(table[name].to_numpy(dtype=float)) for name in columns
    }
    return table.assign(**adjusted)


def over_collections(table: Frame, by: Sequence[str] = ("scheme", "share")) -> Frame:
    """The mean change over collections, and in how many a scheme significantly lowers nDCG@10.

    One row per scheme and share; `significant` counts p at or below .05, `significant_fdr` the
    adjusted p, `raised` the rises with such a p, `beyond` the falls that are significantly below
    those without random neurons.
    """
    rows = []
    for key, some in table.groupby(list(by), sort=False):
        falls = some["change"] < 0
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "neurons": int(some["neurons"].iloc[0]),
                "collections": len(some),
                "change": float(some["change"].mean()),
                "least": float(some["change"].min()),
                "most": float(some["change"].max()),
                "control": float(some["control"].mean()),
                "significant": int((falls & (some["p"] <= SIGNIFICANT)).sum()),
                "significant_fdr": int((falls & (some["p_fdr"] <= SIGNIFICANT)).sum()),
                "raised": int((~falls & (some["p_fdr"] <= SIGNIFICANT)).sum()),
                "beyond": int(
                    (
                        (some["change"] < some["control"]) & (some["p_beyond_fdr"] <= SIGNIFICANT)
                    ).sum()
                ),
            }
        )
    return pd.DataFrame(rows)
