"""Search in two stages, against patching every head."""

import torch

from crosslens import (
    attribution_patching,
    Axioms,
    collection,
    Contrast,
    CrossEncoder,
    load,
    patching,
    search,
)
from crosslens.attribution import Effects
from crosslens.engine.resume_points import blocks_behind

from .subject import Subject
from .sweeps import title_of
from .timing import Arm, interleaved, Table


LARGEST = 10  # heads of the exact sweep that a search should find
AXIOMS = ("tfc1", "stmc1", "tdc")


def searching(subject: Subject, rounds: int, share: float) -> Table:
    """In a model of random weights."""
    contrast = Contrast.between(subject.base, subject.more, "random")
    return searched(subject.model, contrast, rounds, title_of(subject, "search for heads"))


def in_embedded(pairs: int, rounds: int) -> list[Table]:
    """In the embedded reranker, by three axioms with as many seeds as rounds."""
    model, texts = load("embedded"), collection("embedded")
    threads = torch.get_num_threads()
    return [
        searched(
            model,
            getattr(Axioms(model, texts, seed=seed), axiom)(pairs),
            rounds,
            f"search for heads: embedded, {axiom}, seed {seed}, {pairs} pairs, {threads} threads",
        )
        for axiom in AXIOMS
        for seed in range(rounds)
    ]


def searched(model: CrossEncoder, contrast: Contrast, rounds: int, title: str) -> Table:
    """Seconds of each, what the search finds, and how many blocks its arithmetic is."""
    units = model.heads()
    exact, found = patching(model, contrast, units), search(model, contrast, units)
    n_patched = len(contrast) - exact.n_skipped
    passed = len(contrast) * (model.cfg.n_layers - model.reads_scored_row)
    every, few = (n_patched * sum(blocks_behind(model, some)) for some in (units, found.units))

    def once(method) -> Arm:
        def run() -> float:
            method(model, contrast, units)
            return 1

        return run

    arms = {
        "patching of every head": once(patching),
        "search": once(search),
        "screening alone": once(attribution_patching),
    }
    facts = {
        "heads": len(units),
        "heads patched by the search": len(found.units),
        f"of the exact sweep's largest {LARGEST}, found": len(largest(exact) & largest(found)),
        "pairs skipped": exact.n_skipped,
        "by count of blocks, search x": (3 * passed + few) / (2 * passed + every),
        "by count of blocks, screening alone x": 3 * passed / (2 * passed + every),
    }
    return Table(title, "search", interleaved(arms, rounds=rounds), facts)


def largest(effects: Effects) -> set:
    order = effects.mean.abs().argsort(descending=True)[:LARGEST]
    return {effects.units[i] for i in order.tolist()}
