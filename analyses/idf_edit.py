"""Can a term's influence be turned up or down by its IDF coordinate?

The rarest term of each query has its IDF coordinate raised and lowered, and the query's
candidates are ranked again: do documents with the term rise when it is raised, and fall when it is
lowered, and what does that cost in nDCG@10? Scaling the whole embedding is the control. With
`--words` the same is done for a list of unwanted words at once, whichever query is asked: content
control (Lu et al., 2025, appendix F.1). Documents with such a word then gain -10, relevant ones 2,
others 1, and `safe` is (DCG - worst DCG) / (ideal DCG - worst DCG) of the whole ranking. (The
authors' own script computes it from unsorted labels, so that no score can change it.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from crosslens import Collection, CrossEncoder, Hook, rerank, Run
from crosslens.effectiveness import evaluate, relevant_from
from crosslens.idf import IdfDirection
from crosslens.interventions import scale_rows
from crosslens.signals import Frequencies, tokenize
from crosslens.stats import bootstrap_interval

from .option_types import Depth, FrequencyDocuments, FrequencyFile
from .rarity import rarity, stored
from .running import Given, main
from .samples import only


IS_SPLIT = True


UNWANTED, OTHER, RELEVANT = -10.0, 1.0, 2.0  # what a document is worth to a reader

Edit = Callable[[Sequence[int]], Hook]


class Options(NamedTuple):
    """How far terms are turned up and down, which, and where."""

    scales: Annotated[list[float], "How far the coordinate is scaled."] = [3.0, 10.0]  # noqa: RUF012
    words: Annotated[Path | None, "A file of unwanted words, one a line."] = None
    queries: Annotated[int, "Queries, at most."] = 20
    documents: Depth = 10
    df: FrequencyFile = None
    df_documents: FrequencyDocuments = None


@dataclass(frozen=True)
class Answer:
    """One row per query, document and edit; one per query and edit; one per edit."""

    documents: pd.DataFrame  # edit, qid, docid, has_term, score, rank, change (of the score), rise
    queries: pd.DataFrame  # edit, qid, terms, nDCG@10, safe
    edits: pd.DataFrame  # edit; change of score and rise, with a term and without; nDCG@10, safe


def analyse(given: Given) -> Answer:
    """The candidates of every query, ranked under each edit of that query's terms."""
    options, whole, model = given.options, given.texts, given.model
    asked = whole.sample(options.queries, options.documents, given.seed)
    if options.words is not None:
        words = tokenize(options.words.read_text(encoding="utf-8"))
        terms = {qid: words for qid in asked.candidates}
    else:
        terms = rarest_terms(asked, whole)
    asked = only(asked, terms)
    direction = stored(model, rarity(options, model, whole)).direction
    before = cache(partial(ranked, model, asked, terms, None))

    def moved(name: str, edit: Edit | None) -> dict[str, pd.DataFrame]:
        run = before() if edit is None else ranked(model, asked, terms, edit)
        return {
            "documents": moves(name, run, before(), asked, terms),
            "queries": worth(name, run, asked, terms),
        }

    edits = {"none": None, **edits_of(direction, options.scales)}
    parts = [partial(moved, name, edit) for name, edit in edits.items()]
    found = given.gathered("Reranking", ["documents", "queries"], parts)
    return Answer(**found, edits=summary(**found))


def ranked(
    model: CrossEncoder, asked: Collection, terms: Mapping[str, Sequence[str]], edit: Edit | None
) -> Run:
    """The candidates of every query, ranked by the model under an edit of the query's terms."""
    ids = {asked.queries[qid]: tokens_of(model, words) for qid, words in terms.items()}

    def score(query: str, documents: Sequence[str]) -> list[float]:
        hooks = [] if edit is None else [edit(ids[query])]
        with model.hooked(*hooks):
            return model.score(query, documents).tolist()

    return rerank(score, asked)


def tokens_of(model: CrossEncoder, words: Sequence[str]) -> list[int]:
    """The ids that the words are made of."""
    return sorted(set(model.tokens.tokenizer(" ".join(words), add_special_tokens=False).input_ids))


def moves(
    name: str, run: Run, before: Run, asked: Collection, terms: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """How many places each document rises over where it was."""
    rows = []
    for qid, ranking in run.items():
        was = {each.doc_id: (rank, each.score) for rank, each in enumerate(before[qid], start=1)}
        for rank, each in enumerate(ranking, start=1):
            old_rank, old_score = was[each.doc_id]
            has = has_any(asked.documents[each.doc_id], terms[qid])
            row = (name, qid, each.doc_id, has, each.score, rank, each.score - old_score)
            rows.append((*row, old_rank - rank))
    names = ["edit", "qid", "docid", "has_term", "score", "rank", "change", "rise"]
    return pd.DataFrame(rows, columns=names)


def worth(
    name: str, run: Run, asked: Collection, terms: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """How good each ranking is, by the judgements and by the terms."""
    level = relevant_from(asked.qrels)
    gains = {}
    for qid, ranking in run.items():
        labels = asked.labels.get(qid, {})
        gains[qid] = safe(
            np.array(
                [
                    UNWANTED
                    if has_any(asked.documents[each.doc_id], terms[qid])
                    else RELEVANT
                    if labels.get(each.doc_id, 0) >= level
                    else OTHER
                    for each in ranking
                ]
            )
        )
    found = pd.DataFrame({"safe": gains}).rename_axis("qid")
    if any(qrel.query_id in run for qrel in asked.qrels):
        found["nDCG@10"] = evaluate(run, asked).iloc[:, 0]
    found["terms"] = [" ".join(terms[qid]) for qid in found.index]
    return found.reset_index().assign(edit=name)


def safe(gains: Float[np.ndarray, " rank"]) -> float:
    """(DCG - worst) / (ideal - worst) of gains in ranked order; nan if all are alike."""
    discount = 1 / np.log2(np.arange(len(gains)) + 2)
    worst, best = np.sort(gains) @ discount, np.sort(gains)[::-1] @ discount
    return float((gains @ discount - worst) / (best - worst)) if best > worst else float("nan")


def has_any(text: str, words: Sequence[str]) -> bool:
    return not set(tokenize(text)).isdisjoint(words)


def summary(documents: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """One row per edit: means over queries, of documents with a term and of those without."""
    rows = []
    for edit, part in documents.groupby("edit", sort=False):
        row: dict[str, object] = {"edit": edit}
        for title, has in (("with", True), ("without", False)):
            some = part.loc[part["has_term"] == has, ["qid", "rise", "change"]]
            means = some.pivot_table(index="qid").reindex(columns=["rise", "change"])
            by_query = means["rise"].to_numpy()
            row[f"change_{title}"] = means["change"].mean()
            low, high = bootstrap_interval(by_query) if len(by_query) else (np.nan, np.nan)
            row[f"rise_{title}"] = by_query.mean() if len(by_query) else np.nan
            row |= {f"low_{title}": float(low), f"high_{title}": float(high)}
        own = queries[queries["edit"] == edit]
        row |= {name: own[name].mean() for name in ("nDCG@10", "safe") if name in own}
        rows.append(row)
    return pd.DataFrame(rows)


def edits_of(direction: IdfDirection, scales: Sequence[float]) -> dict[str, Edit]:
    """Up and down along the IDF direction, and the whole embedding as far: the control."""
    found: dict[str, Edit] = {}
    for scale in scales:
        for word, factor in (("lower", -scale), ("raise", scale)):
            found[f"{word} IDF x{scale:g}"] = lambda ids, f=factor: direction.scaled(ids, f)
            row = direction.sign * factor
            found[f"{word} row x{scale:g}"] = lambda ids, f=row: scale_rows(ids, f)
    return found


def rarest_terms(asked: Collection, counted: Collection) -> dict[str, list[str]]:
    """Of each query, its rarest word among those that some of its candidates have."""
    frequencies = Frequencies.of([tokenize(text) for text in counted.documents.values()])
    found = {}
    for qid, docids in asked.candidates.items():
        texts = [asked.documents[docid] for docid in docids]
        known = [
            word
            for word in dict.fromkeys(tokenize(asked.queries[qid]))
            if any(has_any(text, [word]) for text in texts)
        ]
        if known:
            found[qid] = [max(known, key=frequencies.idf)]
    return found


if __name__ == "__main__":
    main(__spec__.name)
