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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

import numpy as np
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
    Run,
    Unit,
)
from crosslens.discovery import Method, methods_for
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
from crosslens.frames import Frame, pd

from .means import means_of
from .running import Given, main


IS_SPLIT = True


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
    """Which methods, what is not in a circuit, and what is reranked."""

    share: Annotated[float, "Of all heads, to rerank with."] = 0.2
    rest: Annotated[
        Literal["base", "mean", "drawn", "zero"], "What stands where a circuit has no part."
    ] = "base"
    no_edges: Annotated[bool, "Heads only."] = False
    methods: Annotated[
        list[str], "Default: all but 'edge patching', which takes a pass for each edge."
    ] = []  # noqa: RUF012
    queries: Annotated[int | None, "Rerank so many queries instead of all."] = None
    documents: Annotated[int, "Of each query, where only some queries are reranked."] = 20


@dataclass(frozen=True)
class Answer:
    """One row per method, size and pair; the effect on rankings; the areas, which answer."""

    curves: Frame  # kind, method, share, pair, restored
    rankings: Frame  # method, heads, figure, mean, low, high
    areas: Frame  # kind, method, CPR and CMD with intervals, size for 80 %, best heads


@dataclass(frozen=True)
class Kind:
    """Heads or edges: what there is to rank, and how a circuit of them is kept."""

    name: str
    parts: Sequence[Unit | Edge]
    keep: Callable[..., Faithfulness]


def analyse(given: Given) -> Answer:
    """Curves and areas of every method; and what its best heads rerank to."""
    model, options, texts = given.model, given.options, given.texts
    contrast = Axioms(model, texts, seed=given.seed).tfc1(given.pairs)
    found_on, scored_on = contrast.take(slice(0, None, 2)), contrast.take(slice(1, None, 2))
    heads = model.heads()
    gone = RESTS[options.rest](model, found_on.base, given.seed)
    kinds = [Kind("heads", heads, partial(keep_nodes, nodes=heads, rest=gone))]
    if not options.no_edges:
        kinds.append(Kind("edges", Graph.of(model).edges, partial(keep_edges, rest=gone)))
    found = given.gathered(
        "Growing circuits",
        ["curves", "areas"],
        [
            partial(grown, given, kind, method, found_on, scored_on)
            for kind, method in chosen(kinds, options.methods)
        ],
    )
    best: Frame = found["areas"].query("kind == 'heads'").set_index("method")["best"]
    asked = texts.sample(options.queries, options.documents) if options.queries else texts
    whole = cache(lambda: rerank(partial(scores, model), asked))
    rest = cache(lambda: mean_over(model, contrast.base))
    rankings = given.gathered(
        "Reranking",
        ["rankings"],
        [
            partial(reranked, model, asked, method, names.split(), rest, whole)
            for method, names in best.items()
        ],
    )
    return Answer(found["curves"], rankings["rankings"], found["areas"])


def chosen(kinds: Sequence[Kind], names: Sequence[str]) -> list[tuple[Kind, Method]]:
    """The methods of these names with what they rank; all but the costly one if none is named.

    Raises:
        ValueError: no method has such a name.
    """
    every = [(kind, method) for kind in kinds for method in methods_for(kind.parts)]
    known = dict.fromkeys(method.name for _, method in every)
    for name in names:
        if name not in known:
            raise ValueError(f"no method is called {name!r}; known are {', '.join(known)}")
    wanted = set(names) or {*known} - {COSTLY}
    return [(kind, method) for kind, method in every if method.name in wanted]


def grown(
    given: Given, kind: Kind, method: Method, found_on: Contrast, scored_on: Contrast
) -> dict[str, Frame]:
    """What circuits of growing size restore, and the areas under it, of one method's ranking."""
    rankings = (
        at_random(kind.parts, given.seed)
        if method.name == "random"
        else [discover(given.model, found_on, kind.parts, method).ranking]
    )
    curves = [
        curve(given.model, scored_on, each, keep=kind.keep, shares=SHARES) for each in rankings
    ]
    labels = {"kind": kind.name, "method": method.name}
    n_best = max(1, round(given.options.share * len(kind.parts))) if kind.name == "heads" else 0
    best = " ".join(map(str, rankings[0][:n_best]))
    return {
        "curves": mean_frame(curves).assign(**labels),
        "areas": pd.DataFrame([{**labels, **area(curves), "best": best}]),
    }


def at_random(parts: Sequence, seed: int) -> list[list]:
    """Some rankings of nothing."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]
        for _ in range(N_RANDOM)
    ]


def mean_frame(curves: Sequence[Curve]) -> Frame:
    """What circuits of each size restore of each pair, on average over the curves."""
    frames = [each.frame() for each in curves]  # the same sizes and pairs, row by row
    restored = np.mean([each["restored"].to_numpy() for each in frames], axis=0)
    return frames[0].reindex(columns=["size", "share", "pair"]).assign(restored=restored)


def area(curves: Sequence[Curve]) -> dict[str, float]:
    """CPR and CMD with their intervals over pairs, and how many parts restore 80 %."""
    per_pair = {
        name: torch.stack([getattr(each, name) for each in curves])
        .mean(dim=0)
        .double()
        .numpy(force=True)
        for name in ("cpr", "cmd")
    }
    enough = [each.size_for(0.8) for each in curves]
    return means_of(per_pair) | {"size_for_80": float(np.mean([n or np.nan for n in enough]))}


def reranked(
    model: CrossEncoder,
    texts: Collection,
    method: str,
    names: Sequence[str],
    rest: Callable[[], Rest],
    whole: Callable[[], Run],
) -> dict[str, Frame]:
    """How the heads of a circuit alone rank the collection, beside the whole model."""
    nodes = model.heads()
    heads = [node for node in nodes if str(node) in names]
    alone = rerank_alone(model, texts, heads, rest=rest(), nodes=nodes, whole=whole())
    table = alone.summary().reset_index().assign(method=method, heads=len(heads))
    return {"rankings": table}


def scores(model: CrossEncoder, query: str, documents: Sequence[str]) -> list[float]:
    return model.score(query, documents).tolist()


if __name__ == "__main__":
    main(__spec__.name)
