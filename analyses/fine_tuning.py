"""Is it enough to train the embeddings, and does aligning them with IDF first help?

A reranker is fitted to a collection (Lu et al., 2025, appendix F.2): by all parameters; by the
embeddings alone; by the embeddings alone, their IDF direction first set to the collection's IDF;
and by that alignment without training. Queries are split by their ids: trained on, selected by
(the best epoch of each run, the untuned one among them), and tested once. Several seeds say how
much of a difference is chance. The authors select on their test queries.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, NamedTuple

import pandas as pd
import torch

from crosslens import Collection, CrossEncoder, rerank
from crosslens.effectiveness import evaluate
from crosslens.idf import TokenIdf
from crosslens.tuning import (
    aligned,
    best_of,
    cross_entropy,
    Epoch,
    examples_of,
    is_embedding,
    Split,
    split_queries,
    squared_error,
    tune,
    Tuning,
)

from .option_types import Depth, FrequencyDocuments, FrequencyFile
from .rarity import rarity
from .running import Given, main
from .samples import only


IS_SPLIT = True


LOSSES = {"cross-entropy": cross_entropy, "squared error": squared_error}


class Options(NamedTuple):
    """How much of the collection, and how it is trained on."""

    queries: Annotated[int, "In all parts together, at most."] = 60
    documents: Depth = 10
    epochs: Annotated[int, "Epochs of each arm."] = 3
    rate: Annotated[float, "The learning rate."] = 2e-5
    batch: Annotated[int, "Examples in a batch; memory may make parts of it run one by one."] = 32
    negatives: Annotated[int, "For each relevant document."] = 3
    loss: Annotated[Literal["cross-entropy", "squared error"], "What is minimised."] = (
        "cross-entropy"
    )
    seeds: Annotated[int, "Trainings of each arm, from --seed on."] = 3
    df: FrequencyFile = None
    df_documents: FrequencyDocuments = None


@dataclass(frozen=True)
class Arm:
    """One way to tune."""

    name: str
    is_aligned: bool
    trains: str  # "all", "embeddings" or "nothing"


ARMS = (
    Arm("untuned", False, "nothing"),
    Arm("aligned, untuned", True, "nothing"),
    Arm("all parameters", False, "all"),
    Arm("embeddings", False, "embeddings"),
    Arm("aligned embeddings", True, "embeddings"),
)


@dataclass(frozen=True)
class Answer:
    """One row per epoch, one per test query, and one per arm and seed."""

    epochs: pd.DataFrame  # arm, seed, epoch, loss, validated
    queries: pd.DataFrame  # arm, seed, qid, nDCG@10, RR@10
    arms: pd.DataFrame  # arm, seed, epoch (kept), share (trained), validation, nDCG@10, RR@10


def analyse(given: Given) -> Answer:
    """Every arm under every seed; the states of training are kept in the run too."""
    options = given.options
    asked = given.texts.sample(options.queries, options.documents, given.seed)
    idf, split = rarity(options, given.model, given.texts), split_queries(asked)
    seeds = range(given.seed, given.seed + options.seeds)
    parts = [
        partial(tuned, given, asked, idf, split, arm, seed)
        for arm in ARMS
        for seed in (seeds if arm.trains != "nothing" else seeds[:1])
    ]
    return Answer(**given.gathered("Tuning", ["epochs", "queries", "arms"], parts))


def tuned(
    given: Given, asked: Collection, idf: TokenIdf, split: Split, arm: Arm, seed: int
) -> dict[str, pd.DataFrame]:
    """One arm under one seed: its epochs, the test queries, and what they come to."""
    options, model = given.options, deepcopy(given.model)
    if arm.is_aligned:
        with torch.no_grad():
            model.W_E.copy_(aligned(model.W_E, idf))
    validation, test = only(asked, split.validation), only(asked, split.test)

    def validate() -> float:
        return float(effectiveness(model, validation).to_numpy()[:, 0].mean())

    history = (
        [Epoch(0, math.nan, validate())]
        if arm.trains == "nothing"
        else tune(
            model,
            examples_of(asked, split.train, negatives=options.negatives, seed=seed),
            validate,
            given.run.folder / "states" / f"{ARMS.index(arm)}-{seed}.safetensors",
            tuning=Tuning(options.epochs, options.rate, batch=options.batch, seed=seed),
            chosen=is_embedding if arm.trains == "embeddings" else lambda _: True,
            loss=LOSSES[options.loss],
        )
    )
    kept, _, validated = best_of(history)
    found, names = effectiveness(model, test), {"arm": arm.name, "seed": seed}
    row = {"epoch": kept, "share": share(model, arm), "validation": validated}
    return {
        "epochs": pd.DataFrame(history).assign(**names),
        "queries": found.reset_index().assign(**names),
        "arms": pd.DataFrame([{**names, **row, **found.mean().to_dict()}]),
    }


def effectiveness(model: CrossEncoder, judged: Collection) -> pd.DataFrame:
    """nDCG@10 and RR@10 of each query's candidates, ranked by the model."""

    def score(query: str, documents: Sequence[str]) -> list[float]:
        return model.score(query, documents).tolist()

    return evaluate(rerank(score, judged), judged).set_axis(["nDCG@10", "RR@10"], axis=1)


def share(model: CrossEncoder, arm: Arm) -> float:
    """Which share of the parameters an arm trains."""
    sizes = {name: each.numel() for name, each in model.named_parameters()}
    trained = {"all": sizes, "embeddings": filter(is_embedding, sizes), "nothing": ()}[arm.trains]
    return sum(sizes[name] for name in trained) / sum(sizes.values())


if __name__ == "__main__":
    main(__spec__.name)
