"""Do a few terms decide a passage's score, and which?

Every word of a passage but stop words is deleted once, and the passage is scored anew, by the
model, by BM25 and by a Term-Trans head trained on other queries. The scatter of scores with and
without a word drawn by lot, how far they lie in the corners, how unequally the words of a passage
share the change (Gini's coefficient), and whether the most influential words are words of the
query, forms of them or near to them in meaning. Scores of the neural rankers are probabilities,
those of BM25 parts of the largest. Qiao et al. (2019), sections 4.2 and 4.3, Fig. 2 and Table 2.
"""

import random
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosslens import Bm25Index, CrossEncoder, NotMeasurable, Pairs, Segment, tokenize
from crosslens.batching import scores_of
from crosslens.contrasts import are_inflections
from crosslens.frames import Frame, pd
from crosslens.signals import bm25, Frequencies
from crosslens.tuning import Ranker
from crosslens.words import leave_one_out, WordAttribution, words_of

from . import scoring_heads
from .attention_majority import groups_of, stopwords_of
from .means import mean_row
from .option_types import Depth, StopWords
from .ranking_quality import judged_sample
from .running import Given, main
from .samples import pairs_of, slices


class Options(NamedTuple):
    pairs: int = 24
    depth: Depth = 4
    stopwords: StopWords = 50
    trained: Annotated[int, "Pairs of other queries that Term-Trans is trained on, at most."] = 160
    cosine: Annotated[float, "Words of at least this cosine are semantic matches."] = 0.5


@dataclass(frozen=True)
class Answer:
    """By word; in the corners; and what the most influential words are."""

    words: Frame  # scorer, qid, docid, text, match, original, without, influence, is_drawn
    examples: Frame  # query, and the most influential words by each scorer
    matches: Frame  # scorer, match, share (of the most influential words), low, high, control, n
    corners: Frame  # scorer, statistic, value, low, high, n


MODEL, BM25, TERM_TRANS = "the model", "BM25", "Term-Trans"
MATCHES: Final = ("exact", "form", "semantic", "none")
TOP: Final = 3  # words of an example
AT_ONCE: Final = 4  # pairs


def analyse(given: Given) -> Answer:
    """Some passages at a time, by all scorers."""
    texts, rows = judged_sample(given, given.options.depth)
    stop, frequencies = stopwords_of(given), Bm25Index(given.texts.documents).frequencies
    term_trans = fitted_term_trans(given, set(rows["qid"]))
    scorers = {MODEL: given.model, BM25: lexical(frequencies), TERM_TRANS: term_trans}

    def one(some: Frame) -> Frame:
        pairs = pairs_of(given, some)
        regular = groups_of(pairs, stop)[2] & pairs.where("document") & is_wordy(pairs)
        tables = []
        for name, scorer in scorers.items():
            if scorer is not None:
                found = leave_one_out(scorer, pairs, among=regular)
                table = by_word(found, scores_of(scorer, pairs), regular)
                tables.append(table.assign(scorer=name))
        return pd.concat(tables, ignore_index=True).assign(
            qid=lambda table: [some["qid"].iloc[i] for i in table["pair"]],
            docid=lambda table: [some["docid"].iloc[i] for i in table["pair"]],
        )

    some = [rows[each] for each in slices(len(rows), AT_ONCE)]
    words = given.table("deleting words", "words", one, some)
    if words.empty:
        raise NotMeasurable(f"no passage of {len(rows)} has a word that is no stop word")
    words = as_probabilities(drawn(words.drop(columns="pair"), given.seed))
    near = Likeness(given.model, given.options.cosine)
    kinds = {
        (qid, text): near.match(texts.queries[qid], text)
        for qid, text in dict.fromkeys(zip(words["qid"], words["text"], strict=True))
    }
    words["match"] = [kinds[key] for key in zip(words["qid"], words["text"], strict=True)]
    return Answer(
        words, examples(given, words), matches(words, given.seed), corners(words, given.seed)
    )


def fitted_term_trans(given: Given, qids: set[str]) -> Ranker | None:
    """Term-Trans trained on other queries, of which every third selects; none if there are few."""
    options = scoring_heads.Options()
    try:
        texts, rows = judged_sample(given, options.depth, given.options.trained, without=qids)
    except NotMeasurable:
        return None
    others = list(dict.fromkeys(rows["qid"]))
    if len(others) < 3:
        return None
    selects = rows["qid"].isin(others[::3])
    file = given.run.folder / "states" / "term-trans.safetensors"
    parts = (rows[~selects], rows[selects])
    ranker, _ = scoring_heads.fitted(given, texts, TERM_TRANS, parts, file, options, {})
    # every deletion is another text: its states are of no use to keep
    return Ranker(given.model, ranker.head, is_frozen=False)


def lexical(frequencies: Frequencies):
    """BM25 of the words that a pair still has."""

    def scored(pairs: Pairs) -> Float[Tensor, " pair"]:
        found = []
        for i in range(len(pairs)):
            texts = pairs.words(i)
            terms: dict[Segment, list[str]] = {Segment.QUERY: [], Segment.DOCUMENT: []}
            for segment, _, tokens in words_of(pairs, i):
                if segment in terms:
                    terms[segment] += tokenize(texts[tokens[0]])
            found.append(bm25(terms[Segment.QUERY], terms[Segment.DOCUMENT], frequencies))
        return torch.tensor(found, dtype=torch.float32)

    return scored


def is_wordy(pairs: Pairs) -> Bool[Tensor, "pair pos"]:
    """Tokens of words with a letter or a digit: no punctuation."""
    found = torch.zeros_like(pairs.token, dtype=torch.bool)
    for i in range(len(pairs)):
        wordy = [any(map(str.isalnum, text)) for text in pairs.words(i)]
        found[i, : len(wordy)] = torch.tensor(wordy, device=found.device)
    return found & pairs.attended


def by_word(
    found: WordAttribution, scores: Float[Tensor, " pair"], among: Bool[Tensor, "pair pos"]
) -> Frame:
    """One row per deleted word: pair, word, text, score (of the whole) and influence."""
    rows = []
    for i in range(len(found.pairs)):
        texts = found.pairs.words(i)
        for _, word, tokens in words_of(found.pairs, i):
            if among[i, tokens].any():
                place = tokens[0]
                rows.append((i, word, texts[place], scores[i].item(), found.token[i, place].item()))
    return pd.DataFrame(rows, columns=["pair", "word", "text", "score", "influence"])


def drawn(words: Frame, seed: int) -> Frame:
    """With `is_drawn`: one word of each passage, the same for every scorer."""
    chosen = {
        key: random.Random(f"{seed} {key}").choice(sorted(set(some["word"])))
        for key, some in words.groupby(["qid", "docid"], sort=False)
    }
    keys = zip(words["qid"], words["docid"], words["word"], strict=True)
    return words.assign(is_drawn=[chosen[qid, docid] == word for qid, docid, word in keys])


def as_probabilities(words: Frame) -> Frame:
    """With `original` and `without`: scores between 0 and 1, before and after the deletion."""
    after = words["score"] - words["influence"]
    is_bm25 = words["scorer"] == BM25
    largest = max(words.loc[is_bm25, "score"].max(), after[is_bm25].max(), np.finfo(float).tiny)

    def scaled(scores: Frame) -> Frame:
        return np.where(is_bm25, scores / largest, 1 / (1 + np.exp(-scores)))

    return words.assign(original=scaled(words["score"]), without=scaled(after))


class Likeness(NamedTuple):
    """How a word of a passage relates to those of a query, by the model's word embeddings."""

    model: CrossEncoder
    least: float

    def match(self, query: str, text: str) -> str:
        """The first of `MATCHES` that holds."""
        asked, (own, *_) = tokenize(query), [*tokenize(text), text]
        if own in asked:
            return "exact"
        if any(are_inflections(own, each) for each in asked):
            return "form"
        if any(
            torch.cosine_similarity(self.at(own), self.at(each), 0) > self.least for each in asked
        ):
            return "semantic"
        return "none"

    def at(self, word: str) -> Float[Tensor, " d_model"]:
        """The mean embedding of a word's pieces."""
        ids = self.model.tokens.tokenizer(word, add_special_tokens=False)["input_ids"]
        return self.model.W_E.detach()[ids].mean(dim=0)


def corners(words: Frame, seed: int) -> Frame:
    """How near scores are to 0 or 1, how much a word moves them, and how unequally."""
    rows = []
    for scorer, every in words.groupby("scorer", sort=False):
        some = every[every["is_drawn"]]
        x, change = some["original"].to_numpy(), (some["without"] - some["original"]).to_numpy()
        passages = every.groupby(["qid", "docid"], sort=False)
        sizes = [each["influence"].abs().to_numpy() for _, each in passages]
        sizes = [each for each in sizes if each.sum() > 0]  # of none, nothing is shared
        values = {
            "score below .1 or above .9": np.maximum(x, 1 - x) > 0.9,
            "changes by less than .05": np.abs(change) < 0.05,
            "falls by more than .5": change < -0.5,
            "Gini of the changes of a passage": np.array([gini(each) for each in sizes]),
            "share of the largest change": np.array([each.max() / each.sum() for each in sizes]),
        }
        for name, each in values.items():
            if len(each):
                row = mean_row(each.astype(float), "value", seed=seed)
                rows.append({"scorer": scorer, "statistic": name, **row})
        r = np.corrcoef(x, some["without"])[0, 1] if min(x.std(), some["without"].std()) else None
        name = "correlation of with and without"
        rows.append({"scorer": scorer, "statistic": name, "value": r, "n": len(x)})
    return pd.DataFrame(rows)


def gini(sizes: Float[np.ndarray, " word"]) -> float:
    """Gini's coefficient of sizes that are not all 0: 0 if all are equal, near 1 if one has all."""
    ordered, n = np.sort(sizes), len(sizes)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def matches(words: Frame, seed: int) -> Frame:
    """Which share of the most influential words match the query, beside all deleted words.

    Of the passages in which a deletion lowers the score at all.
    """
    rows = []
    for scorer, every in words.groupby("scorer", sort=False):
        passages = [each for _, each in every.groupby(["qid", "docid"], sort=False)]
        passages = [each for each in passages if each["influence"].max() > 0]
        if not passages:
            continue
        tops = [each.loc[each["influence"].idxmax(), "match"] for each in passages]
        for name in MATCHES:
            own = np.array([float(top == name) for top in tops])
            control = np.mean([(each["match"] == name).mean() for each in passages])
            row = {"scorer": scorer, "match": name, **mean_row(own, "share", seed=seed)}
            rows.append(row | {"control": control})
    return pd.DataFrame(rows, columns=["scorer", "match", "share", "low", "high", "control", "n"])


def examples(given: Given, words: Frame) -> Frame:
    """The most influential words of each passage, by scorer."""
    rows = []
    for (qid, docid), some in words.groupby(["qid", "docid"], sort=False):
        top = {
            scorer: ", ".join(
                own.sort_values("influence", ascending=False)["text"].drop_duplicates()[:TOP]
            )
            for scorer, own in some.groupby("scorer", sort=False)
        }
        rows.append({"query": given.texts.queries[qid], "docid": docid, **top})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(__spec__.name)
