"""Is it enough to train the embeddings, and does aligning them with IDF first help?

    python -m crosslens.analyses.fine_tuning --model embedded --collection wikiqa --out runs/tuning

A reranker is fitted to a collection (Lu et al., 2025, appendix F.2): by all parameters; by the
embeddings alone; by the embeddings alone, their IDF direction first set to the collection's IDF;
and by that alignment without training. Queries are split by their ids: trained on, selected by
(the best epoch of each run, the untuned one among them), and tested once. Several seeds say how
much of a difference is chance. The authors select on their test queries.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from crosslens import (
    Collection,
    collection,
    CrossEncoder,
    load,
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

from .rarity import add_options, rarity
from .running import begin, options, save


LOSSES = {"cross-entropy": cross_entropy, "squared error": squared_error}


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
class Findings:
    """One row per epoch, one per test query, and one per arm and seed."""

    epochs: pd.DataFrame  # arm, seed, epoch, loss, validated
    queries: pd.DataFrame  # arm, seed, qid, nDCG@10, RR@10
    arms: pd.DataFrame  # arm, seed, epoch (kept), share (trained), validation, nDCG@10, RR@10


def trace(
    model: CrossEncoder,
    asked: Collection,
    idf: TokenIdf,
    folder: Path,
    *,
    tuning: Tuning,
    seeds: Sequence[int],
    loss: str = "cross-entropy",
    negatives: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> Findings:
    """Every arm under every seed; states are kept in `folder`, so that a run can go on.

    `progress` is told of each arm when it is done.
    """
    split = split_queries(asked)
    validation, test = (part(asked, qids) for qids in (split.validation, split.test))
    epochs, queries, arms = [], [], []
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
            reached = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            progress(f"{arm.name}, seed {seed}: epoch {kept} of the best validation; {reached}")
    return Findings(pd.concat(epochs), pd.concat(queries), pd.DataFrame(arms))


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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=60, help="in all parts together, at most")
    parser.add_argument("--documents", type=int, default=10, help="candidates of each, at most")
    parser.add_argument("--epochs", type=int, default=Tuning.epochs)
    parser.add_argument("--rate", type=float, default=Tuning.rate)
    parser.add_argument("--batch", type=int, default=Tuning.batch)
    parser.add_argument("--negatives", type=int, default=3, help="for each relevant document")
    parser.add_argument("--loss", choices=sorted(LOSSES), default="cross-entropy")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    add_options(parser)
    given = options(parser, argv, model="embedded")
    model, whole = load(given.model), collection(given.collection)
    run = begin(given, __file__, resume=given.resume)
    findings = trace(
        model,
        whole.sample(given.queries, given.documents, given.seed),
        rarity(given, model, whole),
        run.folder / "states",
        tuning=Tuning(given.epochs, given.rate, batch=given.batch),
        seeds=given.seeds,
        loss=given.loss,
        negatives=given.negatives,
        progress=partial(print, flush=True),
    )
    save(
        given,
        __file__,
        {"epochs": findings.epochs, "queries": findings.queries, "arms": findings.arms},
        findings=run,
    )


if __name__ == "__main__":
    main()
