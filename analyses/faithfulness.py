"""Whose circuit is faithful?

    python -m crosslens.analyses.faithfulness --model embedded --out runs/faithfulness

Every discovery method ranks the heads, and those of edges rank the edges, on one half of a TFC1
contrast. On the other half circuits of the first of each ranking are kept, the rest being what
it is without the signal, and the share of the contrast that they restore is drawn over their
size: CPR is the area under it (large: little suffices), CMD the area between it and 1 (small:
the circuit does what the model does). Random rankings are the control. With `--rest` all else is
instead at its mean over pairs without the signal, drawn from a random one of them, or zero.

Then heads alone rerank the collection, the others at their mean: the best of each ranking, as
many as `--share` of all heads, against the whole model.
"""

import argparse
from collections.abc import Callable, Collection as Names, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
import torch

from crosslens import (
    ablate,
    Axioms,
    Collection,
    collection,
    Contrast,
    CrossEncoder,
    discover,
    Edge,
    Hook,
    load,
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

from .running import options, save


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


@dataclass(frozen=True)
class Findings:
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


def trace(
    model: CrossEncoder,
    contrast: Contrast,
    texts: Collection,
    *,
    share: float,
    with_edges: bool = True,
    left_out: Names[str] = (COSTLY,),
    rest: str = "base",
    seed: int = 0,
) -> Findings:
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
        for method in (each for each in methods_for(kind.parts) if each.name not in left_out):
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
    return Findings(
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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.2, help="of all heads, to rerank with")
    parser.add_argument("--rest", choices=RESTS, default="base", help="what is not in a circuit")
    parser.add_argument("--no-edges", action="store_true", help="heads only")
    parser.add_argument("--costly", action="store_true", help=f"{COSTLY} too: a pass per edge")
    parser.add_argument("--queries", type=int, help="rerank so many queries instead of all")
    parser.add_argument("--documents", type=int, default=20, help="of each, where some are")
    given = options(parser, argv)
    model, texts = load(given.model), collection(given.collection)
    findings = trace(
        model,
        Axioms(model, texts, seed=given.seed).tfc1(given.pairs),
        texts.sample(given.queries, given.documents) if given.queries else texts,
        share=given.share,
        with_edges=not given.no_edges,
        left_out=() if given.costly else (COSTLY,),
        rest=given.rest,
        seed=given.seed,
    )
    save(
        given,
        __file__,
        {"curves": findings.curves, "rankings": findings.rankings, "areas": findings.areas},
    )


if __name__ == "__main__":
    main()
