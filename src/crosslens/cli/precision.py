"""Scores in 16 bit beside the same in float32: how far apart they are on some pairs of a run.

Both models are never in memory at once: the float32 twin, which takes 4 bytes a weight, is loaded,
scores the pairs and is gone before the model of the run is loaded. A machine that has no memory for
it still runs; what was not measured is noted as such.
"""

import gc
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, TYPE_CHECKING

from ..batching.batch_size import is_out_of_memory
from ..corpora.collection import Collection
from ..model.load import load
from ..words import scores_of


if TYPE_CHECKING:
    from torch import Tensor

    from ..model.encoder import CrossEncoder


PAIRS: Final = 32
OF_A_QUERY: Final = 2
NOT_MEASURED: Final = "there was no memory for the float32 twin"

Texts = Sequence[tuple[str, str]]


def some_texts(texts: Sequence[Collection]) -> Texts:
    """Queries with two of their candidates each; any two texts where no query has candidates."""
    judged = (
        (each.queries[qid], each.documents[docid])
        for each in texts
        for qid, docids in each.candidates.items()
        for docid in docids[:OF_A_QUERY]
        if docid in each.documents
    )
    others = (
        pair
        for each in texts
        for pair in zip(each.queries.values(), each.documents.values(), strict=False)
    )
    return [*islice(judged, PAIRS)] or [*islice(others, PAIRS)]


def float32_scores(model: str, device: str | None, texts: Texts) -> "Tensor | None":
    """The scores of a float32 twin that is loaded for them alone; none where it does not fit."""
    try:
        return scores(load(model, device=device), texts)
    except (RuntimeError, MemoryError) as error:
        if not (is_out_of_memory(error) or isinstance(error, MemoryError)):
            raise
    gc.collect()
    return None


def scores(model: "CrossEncoder", texts: Texts) -> "Tensor":
    """In double precision, on the processor."""
    queries, documents = zip(*texts, strict=True)
    return scores_of(model, model.pairs(queries, documents)).double().cpu()


def difference(found: "Tensor", exact: "Tensor | None") -> dict[str, Any]:
    """The greatest and the mean difference of scores, in score units, and over how many pairs."""
    if exact is None:
        return {"pairs": 0, "reason": NOT_MEASURED}
    apart = (found - exact).abs()
    return {"pairs": len(apart), "greatest": apart.max().item(), "mean": apart.mean().item()}


def sentence(dtype: str, found: dict[str, Any]) -> str:
    """What was measured, for the terminal."""
    if not found["pairs"]:
        return f"{dtype}: {found['reason']}; how far scores are from float32 is not known"
    return (
        f"{dtype}: over {found['pairs']} pairs scores differ from float32 by {found['mean']:.2g} "
        f"on average, {found['greatest']:.2g} at most"
    )
