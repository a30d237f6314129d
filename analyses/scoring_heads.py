"""How well do other scoring heads rank on the states of a reranker?

Rep (query and document apart), Last-Int ([CLS] of the last layer), Mult-Int ([CLS] of all layers)
and Term-Trans (how alike tokens of query and document are, layer by layer) of Qiao et al. (2019),
section 3, are trained on the model's states, beside BM25 and the model with its own head. Queries
are dealt into folds: each fold is tested once, by heads trained on the others, of which one fold
selects the epoch. With `--trains all` the layers are trained too, as in the paper; by default they
are frozen, and Rep, of which nothing but scale and bias would be left to train, is as it is. A
control trains each head on shuffled labels, and keeps its last epoch.
"""

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from crosslens import Collection, NotMeasurable
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.stats import permutation_test
from crosslens.tuning import (
    cross_entropy,
    Example,
    preference_loss,
    preferences_of,
    Ranker,
    SCORING_HEADS,
    tune,
    Tuning,
)
from crosslens.words import scores_of

from .option_types import Depth
from .ranking_quality import bm25_scores, judged_sample, quality_by_query, ranking_quality
from .running import Given, main
from .samples import pairs_of


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 320
    depth: Depth = 10
    epochs: Annotated[int, "Epochs of each training."] = 8
    rate: Annotated[float, "The learning rate; of the paper, with --trains all: 3e-6."] = 2e-3
    batch: Annotated[
        int, "Pairs, or preferences, in a batch; memory may make parts of it run one by one."
    ] = 16
    folds: Annotated[int, "Into how many parts the queries are dealt: three at least."] = 4
    trains: Annotated[Literal["head", "all"], "What is trained."] = "head"
    loss: Annotated[
        Literal["pointwise", "pairwise"], "Of the probability of relevance, or of an order."
    ] = "pointwise"


@dataclass(frozen=True)
class Answer:
    """One row per epoch, one per candidate, and one per ranker and measure."""

    epochs: Frame  # ranker, fold, epoch, loss, validated (nDCG@10)
    candidates: Frame  # qid, docid, is_relevant, and the score by each ranker
    rankers: Frame  # ranker, measure, mean, low, high, relative (to BM25), p, p_model, n


BM25: Final = "BM25"
MODEL: Final = "the model itself"
SHUFFLED: Final = ", shuffled labels"


def analyse(given: Given) -> Answer:
    """All rankers on the same candidates; those that are trained, fold by fold."""
    texts, rows = judged_sample(given, given.options.depth)
    folds = dealt(rows, given.options.folds, given.seed)
    own = scores_of(given.model, pairs_of(given, rows)).double().numpy(force=True)
    kept: dict = {}  # states of the frozen layers, which all heads read
    parts = [
        partial(trained, given, texts, rows, folds, name, is_shuffled, kept)
        for name in SCORING_HEADS
        for is_shuffled in (False, True)
        if not (name == "Rep" and is_shuffled)
    ]
    found = given.gathered("training heads", ["epochs", "scores"], parts)
    wide = found["scores"].pivot(index=["qid", "docid"], columns="ranker", values="score")
    wide = wide[list(dict.fromkeys(found["scores"]["ranker"]))].reset_index()
    scored = rows.assign(**{BM25: bm25_scores(given, rows), MODEL: own})
    candidates = scored.merge(wide, on=["qid", "docid"])
    epochs = found["epochs"].dropna(subset="epoch")
    return Answer(epochs, candidates, compared(given, texts, candidates))


def dealt(rows: Frame, n: int, seed: int) -> list[list[str]]:
    """The queries in `n` parts of like size.

    Raises:
        NotMeasurable: fewer than three parts, or a part without a query.
    """
    qids = list(dict.fromkeys(rows["qid"]))
    if not 3 <= n <= len(qids):
        raise NotMeasurable(
            f"{len(qids)} queries in {n} folds: one fold is tested, one selects and others train, "
            "so that there are 3 or more, each with a query"
        )
    random.Random(seed).shuffle(qids)
    return [qids[i::n] for i in range(n)]


def trained(
    given: Given,
    texts: Collection,
    rows: Frame,
    folds: Sequence[Sequence[str]],
    name: str,
    is_shuffled: bool,
    kept: dict,
) -> dict[str, Frame]:
    """A head trained for each fold on the others, and the scores that it gives to that fold."""
    title = name + (SHUFFLED if is_shuffled else "")
    histories, scores = [pd.DataFrame({"ranker": [title], "fold": [0]})], []
    for fold, test in enumerate(folds):
        selects = folds[(fold + 1) % len(folds)]
        file = given.run.folder / "states" / f"{title}-{fold}.safetensors"
        parts = (rows[~rows["qid"].isin([*test, *selects])], rows[rows["qid"].isin(selects)])
        ranker, history = fitted(given, texts, name, parts, file, given.options, kept, is_shuffled)
        histories.append(history.assign(ranker=title, fold=fold))
        scores.append(scored(given, ranker, rows[rows["qid"].isin(test)]).assign(ranker=title))
    return {
        "epochs": pd.concat(histories, ignore_index=True),
        "scores": pd.concat(scores, ignore_index=True),
    }


def fitted(
    given: Given,
    texts: Collection,
    name: str,
    parts: tuple[Frame, Frame],  # candidates to train on, and those that select the epoch
    file: Path,
    options: Options,
    kept: dict,
    is_shuffled: bool = False,
) -> tuple[Ranker, Frame]:
    """A head trained on the model's states, and its epochs; Rep on frozen layers is as it is."""
    training, selects = parts
    model, is_frozen = given.model, options.trains == "head"
    is_pairwise, least = options.loss == "pairwise", relevant_from(given.texts.qrels)
    head = SCORING_HEADS[name](len(model.block_outputs()), model.cfg.d_model).to(model.device)
    trunk = model if is_frozen else deepcopy(model)
    ranker = Ranker(trunk, head, is_frozen=is_frozen, kept=kept)
    steps = count()

    def validate() -> float:
        if is_shuffled:  # true labels would teach it by selection
            return float(next(steps))
        some = scored(given, ranker, selects)
        if some["score"].nunique() == 1:
            return 0.0  # a head that has learned nothing ranks nothing
        (found,) = quality_by_query(texts, some, least, given.seed).values()
        return float(found["nDCG@10"].mean())

    if name == "Rep" and is_frozen:
        return ranker, pd.DataFrame()
    examples = examples_of(given, training, is_shuffled)
    history = tune(
        ranker,
        preferences_of(examples) if is_pairwise else examples,
        validate,
        file,
        tuning=Tuning(options.epochs, options.rate, batch=options.batch, seed=given.seed),
        chosen=lambda part: not is_frozen or part.startswith("head."),
        loss=preference_loss if is_pairwise else cross_entropy,
    )
    return ranker, pd.DataFrame(history)


def scored(given: Given, ranker: Ranker, rows: Frame) -> Frame:
    """The candidates with the ranker's scores."""
    scores = scores_of(ranker, pairs_of(given, rows)).double().numpy(force=True)
    return rows.reset_index(drop=True).assign(score=scores)


def examples_of(given: Given, rows: Frame, is_shuffled: bool) -> list[Example]:
    """The candidates with their labels; as a control, labels dealt anew among all of them.

    Within a query would not do: queries with more relevant candidates would still have more.
    """
    texts, labels = given.texts, rows["is_relevant"].astype(float).tolist()
    if is_shuffled:  # another deal for every fold
        random.Random(f"{given.seed} {' '.join(rows['qid'])}").shuffle(labels)
    return [
        Example(texts.queries[qid], texts.documents[docid], label)
        for qid, docid, label in zip(rows["qid"], rows["docid"], labels, strict=True)
    ]


def compared(given: Given, texts: Collection, candidates: Frame) -> Frame:
    """Each ranker's effectiveness, relative to BM25, with p of tests against BM25 and the model."""
    least = relevant_from(given.texts.qrels)
    each = quality_by_query(texts, candidates, least, given.seed)
    table = ranking_quality(texts, candidates, least, given.seed)
    table = table.rename(columns={"condition": "ranker"})
    base = table[table["ranker"] == BM25].set_index("measure")["mean"]
    table["relative"] = table["mean"] / table["measure"].map(base) - 1
    for column, other in (("p", BM25), ("p_model", MODEL)):
        table[column] = [
            permutation_test(each[name][by].to_numpy(), each[other][by].to_numpy())
            for name, by in zip(table["ranker"], table["measure"], strict=True)
        ]
    columns = ["ranker", "measure", "mean", "low", "high", "relative", "p", "p_model", "n"]
    return table[columns]


if __name__ == "__main__":
    main(__spec__.name)
