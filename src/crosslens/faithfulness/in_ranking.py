"""A circuit in ranking terms: what is left of a ranking when the circuit alone reranks.

A share of a score says little to whoever reads the ranking. Here the circuit scores every
candidate of a collection, the rest of the model fixed to its mean or to zero, and its ranking is
held against the whole model's, query by query.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor

from ..attribution.edges.edge_graph import node, nodes_of as every_node
from ..corpora.collection import Collection
from ..effectiveness import agreement, evaluate
from ..hooks import Hooked
from ..ranking import rerank, Run
from ..sites import Unit
from .rest import Rest
from .restored import over_pairs


@runtime_checkable
class Reranker(Hooked, Protocol):
    """A model that scores texts."""

    def score(self, query: str, documents: Sequence[str]) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Reranked:
    """The rankings of the whole model and of the circuit alone.

    `queries` has one row per query: each measure of both (`whole`, `alone`), where the collection
    is judged; and how alike they are (`documents`, `flips`, `tau`, `top10`), as in `agreement`.
    """

    whole: Run
    alone: Run
    queries: pd.DataFrame

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per column of `queries`: its mean and 95 % bootstrap interval over queries.

        Beside the measures of each ranking stands their difference, alone less whole, whose
        interval is that of paired queries.
        """
        table = self.queries.copy()
        for column in [c for c in table if str(c).endswith(" whole")]:
            measure = str(column).removesuffix(" whole")
            table[f"{measure} difference"] = table[f"{measure} alone"] - table[column]
        values = torch.tensor(table.to_numpy(dtype=float).T)
        return pd.DataFrame(
            over_pairs(values, seed=seed), index=pd.Index(table.columns, name="figure")
        )


@torch.no_grad()
def rerank_alone(
    model: Reranker,
    collection: Collection,
    circuit: Iterable[Unit],
    *,
    rest: Rest,
    nodes: Sequence[Unit] | None = None,
    whole: Run | None = None,
    progress: Callable[[Sequence[str]], Iterable[str]] | None = None,
) -> Reranked:
    """Rerank with `circuit` alone, and compare with the whole model.

    Args:
        circuit: of heads and MLPs; the input is always kept.
        rest: what becomes of every other node: `mean_over(model, pairs)` of some pairs of the
            collection, `ablate` for zero.
        nodes: what may be taken away; by default all heads and MLPs.
        whole: the model's own ranking, if it was made already.
        progress: wraps the query ids, as in `rerank`.
    """
    kept = frozenset(map(node, circuit))
    gone = [unit for unit in (every_node(model) if nodes is None else nodes) if unit not in kept]

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        return model.score(query, documents).tolist()

    if whole is None:
        whole = rerank(score, collection, name="whole", progress=progress)
    with model.hooked(*(rest(unit) for unit in gone)):
        alone = rerank(score, collection, name="alone", progress=progress)
    table = agreement(whole, alone)
    if collection.qrels:
        for name, run in (("alone", alone), ("whole", whole)):
            found = evaluate(run, collection).reindex(table.index)
            for place, measure in enumerate(found):
                table.insert(place, f"{measure} {name}", found[measure])
    return Reranked(whole, alone, table)
