"""Whose circuit is faithful?

Every discovery method ranks the heads, and those of edges rank the edges, on one half of a TFC1
contrast. On the other half circuits of the first of each ranking are kept, the rest being what
it is without the signal, and the share of the contrast that they restore is drawn over their
size: CPR is the area under it (large: little suffices), CMD the area between it and 1 (small:
the circuit does what the model does). Random rankings are the control. With `--rest` all else is
instead at its mean over pairs without the signal, drawn from a random one of them, or zero.

Then heads alone rerank the collection, the others at their mean: the best of each ranking, as
many as `--share` of all heads, against the whole model.
"""

from collections.abc import Callable, Collection as Names, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from crosslens import (
    ablate,
    Axioms,
    Collection,
    Contrast,
    CrossEncoder,
    discover,
    Edge,
    Hook,
    Pairs,
    rerank,
    Unit,
)
from crosslens.discovery import methods_for
from crosslens.faithfulness import (
    Curve,
    curve,
    drawn_from,
    Faithfulness,
    Graph,
    keep_edges,
    keep_nodes,
    mean_over,
    rerank_alone,
)
from crosslens.stats import bootstrap_interval

from .running import Given, Watch


SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
COSTLY = "edge patching"  # a pass for each edge
N_RANDOM = 5  # random rankings, whose areas are averaged pair by pair

Rest = Callable[[Unit], Hook]
RESTS: Final[Mapping[str, Callable[[CrossEncoder, Pairs, int], Rest | None]]] = MappingProxyType(
    {
        "base": lambda model, pairs, seed: None,
        "mean": lambda model, pairs, seed: mean_over(model, pairs),
        "drawn": lambda model, pairs, seed: drawn_from(
            model, pairs, generator=torch.Generator().manual_seed(seed)
        ),
        "zero": lambda model, pairs, seed: ablate,
    }
)


class Options(NamedTuple):
    pairs: int = 24
    share: Annotated[float, "Of all heads, to rerank with."] = 0.2
    rest: Annotated[
        Literal["base", "mean", "drawn", "zero"], "What stands where a circuit has no part."
    ] = "base"
    no_edges: Annotated[bool, "Heads only."] = False
    costly: Annotated[bool, "Edge patching too: a pass for each edge."] = False
    queries: Annotated[int | None, "Rerank so many queries instead of all."] = None
    documents: Annotated[int, "Of each query, where only some queries are reranked."] = 20


@dataclass(frozen=True)
class Answer:
    """One row per method, size and pair; the effect on rankings; the areas, which answer."""

    curves: pd.DataFrame  # kind, method, share, pair, restored
    rankings: pd.DataFrame  # method, heads, figure, mean, low, high
    areas: pd.DataFrame  # kind, method, CPR and CMD with intervals, heads or edges for 80 %


@dataclass(frozen=True)
class Kind:
    """Heads or edges: what there is to rank, and how a circuit of them is kept."""

    name: str
    parts: Sequence[Unit | Edge]
    keep: Callable[..., Faithfulness]


def grown_circuits(
    model: CrossEncoder,
    contrast: Contrast,
    texts: Collection,
    *,
    share: float,
    with_edges: bool = True,
    left_out: Names[str] = (COSTLY,),
    rest: str = "base",
    seed: int = 0,
    watch: Watch = lambda step, done, of: None,
) -> Answer:
    """Curves and areas of every method; and what its best heads, `share` of all, rerank to.

    `left_out` names methods to do without; `rest`, one of `RESTS`, what is not in a circuit.
    """
    found_on, scored_on = contrast.take(slice(0, None, 2)), contrast.take(slice(1, None, 2))
    heads = model.heads()
    gone = RESTS[rest](model, found_on.base, seed)
    kinds = [Kind("heads", heads, partial(keep_nodes, nodes=heads, rest=gone))]
    if with_edges:
        kinds.append(Kind("edges", Graph.of(model).edges, partial(keep_edges, rest=gone)))
    curves: list[pd.DataFrame] = []
    areas: list[dict] = []
    best: dict[str, list[Unit]] = {}
    for kind in kinds:
        methods = [each for each in methods_for(kind.parts) if each.name not in left_out]
        for done, method in enumerate(methods):
            watch(f"growing circuits of {kind.name}", done, len(methods))
            rankings = (
                at_random(kind.parts, seed)
                if method.name == "random"
                else [discover(model, found_on, kind.parts, method).ranking]
            )
            grown = [
                curve(model, scored_on, each, keep=kind.keep, shares=SHARES) for each in rankings
            ]
            labels = {"kind": kind.name, "method": method.name}
            curves.append(mean_frame(grown).assign(**labels))
            areas.append(labels | area(grown))
            if kind.name == "heads":
                first = rankings[0][: max(1, round(share * len(heads)))]
                best[method.name] = [part for part in first if isinstance(part, Unit)]
    return Answer(
        pd.concat(curves, ignore_index=True),
        reranked(model, texts, contrast, best),
        pd.DataFrame(areas),
    )


def at_random(parts: Sequence, seed: int) -> list[list]:
    """Some rankings of nothing."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]
        for _ in range(N_RANDOM)
    ]


def mean_frame(curves: Sequence[Curve]) -> pd.DataFrame:
    """What circuits of each size restore of each pair, on average over the curves."""
    frames = [each.frame() for each in curves]  # the same sizes and pairs, row by row
    restored = np.mean([each["restored"].to_numpy() for each in frames], axis=0)
    return frames[0].reindex(columns=["size", "share", "pair"]).assign(restored=restored)


def area(curves: Sequence[Curve]) -> dict[str, float]:
    """CPR and CMD with their intervals over pairs, and how many parts restore 80 %."""
    found = {}
    for name in ("cpr", "cmd"):
        values = torch.stack([getattr(each, name) for each in curves]).mean(dim=0)
        per_pair = values.double().numpy(force=True)
        low, high = bootstrap_interval(per_pair)
        found[name] = float(np.nanmean(per_pair))
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    enough = [each.size_for(0.8) for each in curves]
    return found | {"size_for_80": float(np.mean([n or np.nan for n in enough]))}


def reranked(
    model: CrossEncoder, texts: Collection, contrast: Contrast, best: dict[str, list[Unit]]
) -> pd.DataFrame:
    """How the heads of each circuit alone rank the collection, beside the whole model."""
    rest = mean_over(model, contrast.base)
    whole = rerank(lambda query, documents: model.score(query, documents).tolist(), texts)
    tables = []
    for method, heads in best.items():
        alone = rerank_alone(
            model, texts, heads, rest=rest, nodes=model.heads(), whole=whole
        ).summary()
        tables.append(alone.reset_index().assign(method=method, heads=len(heads)))
    return pd.concat(tables, ignore_index=True)


def analyse(given: Given) -> Answer:
    """Circuits of every method, found on one half of the pairs and scored on the other."""
    options, texts = given.options, given.texts
    return grown_circuits(
        given.model,
        Axioms(given.model, texts, seed=given.seed).tfc1(given.pairs),
        texts.sample(options.queries, options.documents) if options.queries else texts,
        share=options.share,
        with_edges=not options.no_edges,
        left_out=() if options.costly else (COSTLY,),
        rest=options.rest,
        seed=given.seed,
        watch=given.watch,
    )
