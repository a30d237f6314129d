"""Does the order of a passage's sentences matter to the score?

Every passage is scored with its sentences as they are, with the first two swapped, shuffled, and
reversed; all candidates of a query are changed alike and ranked anew.
Jiang et al. (2021), section 4.4, Table 3.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
from ir_measures import P, R, RR, ScoredDoc

from crosslens import NotMeasurable, Run
from crosslens.corpora import ORDERS, sentences
from crosslens.effectiveness import evaluate, relevant_from
from crosslens.frames import Frame, pd
from crosslens.stats import bootstrap_interval, paired_test

from .running import Given, main


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 480
    depth: Annotated[int, "How many candidates of each query, as the collection lists them."] = 50
    recall: Annotated[list[int], "A depth of recall, as often as you like."] = [3, 50, 1000]


@dataclass(frozen=True)
class Answer:
    """By query; the probability of relevance; the effectiveness of each order."""

    passages: Frame  # qid, docid, is_relevant, sentences, original and each order
    probability: Frame  # order, p (of relevant passages), low, high, n
    rankings: Frame  # order, measure, mean, low, high, difference, p, n


def analyse(given: Given) -> Answer:
    """One query after the other: its candidates in every order."""
    texts = given.texts
    least = relevant_from(texts.qrels)
    qids, n = [], 0
    for qid in sorted(texts.candidates):
        if n >= given.pairs:
            break
        if texts.labels.get(qid):
            qids.append(qid)
            n += min(given.options.depth, len(texts.candidates[qid]))
    if not qids:
        raise NotMeasurable(f"collection {texts.name!r} judges none of the queries it ranks")

    def of_query(qid: str) -> Frame:
        docids = texts.candidates[qid][: given.options.depth]
        documents = [texts.documents[docid] for docid in docids]
        labels = texts.labels[qid]
        table = pd.DataFrame(
            {
                "qid": qid,
                "docid": docids,
                "is_relevant": [labels.get(docid, 0) >= least for docid in docids],
                "sentences": [len(sentences(document)) for document in documents],
                "original": _scores(given, qid, documents),
            }
        )
        for name, order in ORDERS.items():
            # one-sentence passages too: white space at their ends goes in all of them
            table[name] = _scores(given, qid, [order(each, given.seed) for each in documents])
        return table

    parts = {qid: partial(of_query, qid) for qid in qids}
    found = given.parts("scoring passages in four orders", "passages", parts)
    passages = pd.concat(found.values(), ignore_index=True)
    return Answer(passages, _probability(passages, given.seed), _rankings(given, passages))


def _scores(given: Given, qid: str, documents: list[str]) -> np.ndarray:
    return given.model.score(given.texts.queries[qid], documents).double().numpy(force=True)


def _probability(passages: Frame, seed: int) -> Frame:
    """The sigmoid of the score of relevant passages, on average."""
    good = passages[passages["is_relevant"]]
    if good.empty:
        return pd.DataFrame(columns=["order", "p", "low", "high", "n"])
    names = ["original", *ORDERS]
    p = 1 / (1 + np.exp(-good[names].to_numpy().T))
    low, high = bootstrap_interval(p, seed=seed)
    return pd.DataFrame(
        {"order": names, "p": p.mean(axis=1), "low": low, "high": high, "n": len(good)}
    )


def _rankings(given: Given, passages: Frame) -> Frame:
    """The measures of the paper for each order, and their paired difference from the original."""
    texts, seed = given.texts, given.seed
    level = relevant_from(texts.qrels)
    measures = [P(rel=level) @ 1, RR(rel=level), RR(rel=level) @ 10]
    measures += [R(rel=level) @ depth for depth in given.options.recall]
    chosen = set(passages["qid"])
    tables = {}
    for name in ("original", *ORDERS):
        rows = passages[["qid", "docid", name]].itertuples(index=False)
        run = Run.of((ScoredDoc(*row) for row in rows), name)
        table = evaluate(run, texts, measures)
        tables[name] = table[table.index.isin(chosen)]
    rows = []
    for name, table in tables.items():
        for measure in table.columns:
            values, whole = table[measure].to_numpy(), tables["original"][measure].to_numpy()
            low, high = bootstrap_interval(values, seed=seed)
            test = paired_test(values, whole)
            rows.append(
                {
                    "order": name,
                    "measure": measure.replace(f"(rel={level})", ""),
                    "mean": values.mean(),
                    "low": float(low),
                    "high": float(high),
                    "difference": test.difference,
                    "p": test.p_value,
                    "n": len(values),
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(__spec__.name)
