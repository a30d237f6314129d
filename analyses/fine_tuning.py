"""Is it enough to train the embeddings, and does aligning them with IDF first help?

A reranker is fitted to a collection (Lu et al., 2025, appendix F.2): by all parameters; by the
embeddings alone; by the embeddings alone, their IDF direction first set to the collection's IDF;
and by that alignment without training. Queries are split by their ids: trained on, selected by
(the best epoch of each run, the untuned one among them), and tested once. Several seeds say how
much of a difference is chance. The authors select on their test queries.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pandas as pd
import torch

from crosslens import (
    Collection,
    CrossEncoder,
    rerank,
)
from crosslens.effectiveness import evaluate
from crosslens.idf import TokenIdf
from crosslens.tuning import (
    aligned,
    best_of,
    cross_entropy,
    examples_of,
    is_embedding,
    split_queries,
    squared_error,
    tune,
    Tuning,
)

from .rarity import rarity
from .running import Given, Watch


LOSSES = {"cross-entropy": cross_entropy, "squared error": squared_error}


class Options(NamedTuple):
    queries: Annotated[int, "In all parts together, at most."] = 60
    documents: Annotated[int, "Candidates of each query, at most."] = 10
    epochs: Annotated[int, "Epochs of each arm."] = 3
    rate: Annotated[float, "The learning rate."] = 2e-5
    batch: Annotated[int, "Examples in a batch."] = 32
    negatives: Annotated[int, "For each relevant document."] = 3
    loss: Annotated[Literal["cross-entropy", "squared error"], "What is minimised."] = (
        "cross-entropy"
    )
    seeds: Annotated[int, "Trainings of each arm, from --seed on."] = 3
    df: Annotated[
        Path | None,
        "JSON of document frequencies by word piece, may be gzipped; by default they "
        "are counted in the collection.",
    ] = None
    df_documents: Annotated[int | None, "How many documents --df was counted in."] = None


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


def all_arms(
    model: CrossEncoder,
    asked: Collection,
    idf: TokenIdf,
    folder: Path,
    *,
    tuning: Tuning,
    seeds: Sequence[int],
    loss: str = "cross-entropy",
    negatives: int = 3,
    watch: Watch = lambda step, done, of: None,
) -> Answer:
    """Every arm under every seed; states are kept in `folder`, so that a run can go on.

    `watch` counts arms and seeds.
    """
    split = split_queries(asked)
    validation, test = (part(asked, qids) for qids in (split.validation, split.test))
    epochs, queries, arms = [], [], []
    of = sum(len(seeds) if arm.trains != "nothing" else 1 for arm in ARMS)
    for arm in ARMS:
        for seed in seeds if arm.trains != "nothing" else seeds[:1]:
            tuned = deepcopy(model)
            if arm.is_aligned:
                with torch.no_grad():
                    tuned.W_E.copy_(aligned(tuned.W_E, idf))

            def validate(tuned: CrossEncoder = tuned) -> float:
                return float(effectiveness(tuned, validation).to_numpy()[:, 0].mean())

            names = {"arm": arm.name, "seed": seed}
            if arm.trains == "nothing":
                kept, validated = 0, validate()
            else:
                history = tune(
                    tuned,
                    examples_of(asked, split.train, negatives=negatives, seed=seed),
                    validate,
                    folder / f"{ARMS.index(arm)}-{seed}.safetensors",
                    tuning=replace(tuning, seed=seed),
                    chosen=is_embedding if arm.trains == "embeddings" else lambda _: True,
                    loss=LOSSES[loss],
                )
                kept, _, validated = best_of(history)
                epochs.append(pd.DataFrame(history).assign(**names))
            found = effectiveness(tuned, test)
            queries.append(found.reset_index().assign(**names))
            means = found.mean().to_dict()
            row = {"epoch": kept, "share": share(model, arm), "validation": validated, **means}
            arms.append({**names, **row})
            watch("tuning", len(arms), of)
    return Answer(pd.concat(epochs), pd.concat(queries), pd.DataFrame(arms))


def effectiveness(model: CrossEncoder, judged: Collection) -> pd.DataFrame:
    """nDCG@10 and RR@10 of each query's candidates, ranked by the model."""

    def score(query: str, documents: Sequence[str]) -> list[float]:
        return model.score(query, documents).tolist()

    return evaluate(rerank(score, judged), judged)


def share(model: CrossEncoder, arm: Arm) -> float:
    """Which share of the parameters an arm trains."""
    sizes = {name: each.numel() for name, each in model.named_parameters()}
    trained = {"all": sizes, "embeddings": filter(is_embedding, sizes), "nothing": ()}[arm.trains]
    return sum(sizes[name] for name in trained) / sum(sizes.values())


def part(asked: Collection, qids: Sequence[str]) -> Collection:
    """The collection with these queries' candidates and judgements alone."""
    kept: Mapping[str, tuple[str, ...]] = {qid: asked.candidates[qid] for qid in qids}
    judged = tuple(each for each in asked.qrels if each.query_id in kept)
    return replace(asked, qrels=judged, candidates=kept)


def analyse(given: Given) -> Answer:
    """Every arm under every seed, resumed where its states were kept."""
    options, whole = given.options, given.texts
    return all_arms(
        given.model,
        whole.sample(options.queries, options.documents, given.seed),
        rarity(options, given.model, whole),
        given.run.folder / "states",
        tuning=Tuning(options.epochs, options.rate, batch=options.batch),
        seeds=range(given.seed, given.seed + options.seeds),
        loss=options.loss,
        negatives=options.negatives,
        watch=given.watch,
    )
