"""A PyTerrier transformer: a frame of queries and documents with a text in, scored and ranked out.

first_stage >> pt.text.get_text(dataset) >> pyterrier_transformer(model, ["ablate 2.9 1.1"])
"""

from collections.abc import Collection as Texts, Iterable
from typing import Any, Final

from ..frames import Frame, pd
from ..interventions.named_values import Intervention
from ..model.encoder import CrossEncoder
from ..reranking.scorer import Scorer, unique_pairs


COLUMNS: Final = ("qid", "query", "docno", "text")


class FrameReranker:
    """`transform` as PyTerrier defines it, without PyTerrier.

    Args:
        interventions: under which the model scores; see `crosslens.interventions.named`.
        idf_of: the documents in which the IDF of an intervention is counted.

    Raises:
        ValueError: a line that names no intervention.
        LookupError: an intervention on what the model does not have.
    """

    def __init__(
        self,
        model: CrossEncoder,
        interventions: Iterable[str | Intervention] = (),
        *,
        idf_of: Texts[str] = (),
    ):
        super().__init__()
        self.scorer = Scorer.of(model, idf_of, interventions)

    def transform(self, topics_or_res: Frame) -> Frame:
        """The rows with a new `score` and `rank` (from 0), query by query, best first.

        Columns `qid`, `query`, `docno` and `text` are needed; other columns are kept.

        Raises:
            ValueError: a column is missing, or a text that the model cannot read.
        """
        frame = topics_or_res
        missing = [name for name in COLUMNS if name not in frame]
        if missing:
            raise ValueError(
                f"the frame lacks {missing}; it has {list(frame.columns)}. A reranker reads the "
                "text of documents: put pt.text.get_text(dataset) before it"
            )
        ranked = [self._ranked(rows) for _, rows in frame.groupby("qid", sort=False)]
        if ranked:
            return pd.concat(ranked, ignore_index=True)
        return frame.assign(score=pd.Series(dtype=float), rank=pd.Series(dtype=int))

    def _ranked(self, rows: Frame) -> Frame:
        """The rows of one query."""
        queries = rows["query"].unique()
        if len(queries) > 1:
            raise ValueError(
                f"query {rows['qid'].iloc[0]!r} has two texts, {queries[0]!r} and {queries[1]!r}"
            )
        pairs, places = unique_pairs(self.scorer.model, queries[0], list(rows["text"]))
        scores = self.scorer(pairs)[places].numpy()
        found = rows.assign(score=scores).sort_values("score", ascending=False, kind="stable")
        return found.assign(rank=range(len(found)))

    def __repr__(self) -> str:
        edits = ", ".join(map(str, self.scorer.interventions))
        return f"{type(self).__name__}({self.scorer.model.cfg.checkpoint}{edits and f': {edits}'})"


def pyterrier_transformer(
    model: CrossEncoder,
    interventions: Iterable[str | Intervention] = (),
    *,
    idf_of: Texts[str] = (),
) -> Any:
    """A `FrameReranker` that is a `pyterrier.Transformer`: for `>>`, `%` and `pt.Experiment`.

    Raises:
        ImportError: PyTerrier is not installed.
    """
    try:
        import pyterrier as pt  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "PyTerrier is not installed; pip install 'crosslens[pyterrier]' (its own retrieval "
            "also needs Java 11). FrameReranker(model).transform(frame) does the same without it"
        ) from error
    made = type("CrossLensReranker", (FrameReranker, pt.Transformer), {})
    return made(model, interventions, idf_of=idf_of)
