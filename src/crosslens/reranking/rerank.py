"""Rank again: by a model, by a model under interventions, or by any function of texts."""

from collections.abc import Callable, Iterable, Sequence

from ir_measures import ScoredDoc

from ..corpora.collection import Collection
from ..interventions.named_values import Intervention
from ..model.encoder import CrossEncoder
from ..ranking import rerank as by_function, Run, Score
from .scorer import scored, Scorer


def rerank(
    model: CrossEncoder | Score,
    texts: Collection,
    interventions: Iterable[str | Intervention] = (),
    *,
    name: str = "crosslens",
    progress: Callable[[Sequence[str]], Iterable[str]] | None = None,
) -> Run:
    """The candidates of every query, ordered by a model's score, or by `score(query, documents)`.

    Scores of a model are followed by the activation that it declares, as sentence-transformers'
    `rank` gives them; `lambda query, documents: model.score(query, documents)` ranks by logits.
    To rank the documents of a run: `rerank(model, texts.with_candidates(Run.load("run.txt")))`.

    Args:
        interventions: under which the model scores, as values or lines: `["ablate 2.9 1.1"]`;
            `crosslens.interventions.named` says how they are written.
        progress: wraps the query ids to show how far it is, as `tqdm` does.

    Raises:
        TypeError: the texts are no collection, or interventions of a function.
        ValueError: an intervention that is none; a pair that the model cannot read, which
            `crosslens.corpora.readable` leaves out; a function that gives fewer or more values
            than there are documents, or a nan.
        LookupError: an intervention on what the model does not have.
    """
    if not isinstance(texts, Collection):
        raise TypeError(
            f"{texts!r:.60} holds no texts to score; for the documents of a run give "
            "collection.with_candidates(run)"
        )
    if not isinstance(model, CrossEncoder):
        if tuple(interventions):
            raise TypeError(f"interventions edit a model; {model!r:.60} is a function of texts")
        return by_function(model, texts, name=name, progress=progress)
    scorer = Scorer.of(model, texts.documents.values(), interventions)
    found: list[ScoredDoc] = []
    qids = [qid for qid, docids in texts.candidates.items() if docids]
    for qid in progress(qids) if progress else qids:
        docids = texts.candidates[qid]
        [scores], _ = scored([scorer], qid, texts, docids)
        found += [ScoredDoc(qid, *each) for each in zip(docids, scores.tolist(), strict=True)]
    return Run.of(found, name)
