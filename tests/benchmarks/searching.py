"""Search in two stages, against patching every head."""

from crosslens import attribution_patching, Contrast, patching, search

from .subject import Subject
from .sweeps import title_of
from .timing import interleaved, Table


def searching(subject: Subject, rounds: int, share: float, *, n: int = 10) -> Table:
    """Seconds of each, and how many of the exact sweep's largest heads the search returns."""
    contrast = Contrast.between(subject.base, subject.more, "random")
    model, units = subject.model, subject.model.heads()

    def largest(effects) -> set:
        order = effects.mean.abs().argsort(descending=True)[:n]
        return {effects.units[i] for i in order.tolist()}

    def once(method, *args):
        def run() -> float:
            method(model, contrast, units, *args)
            return 1

        return run

    exact, found = patching(model, contrast, units), search(model, contrast, units)
    arms = {
        "patching of every head": once(patching),
        "search": once(search),
        "screening alone": once(attribution_patching),
    }
    facts = {
        "heads": len(units),
        "heads patched by the search": len(found.units),
        f"of the exact sweep's largest {n}, found": len(largest(exact) & largest(found)),
        "pairs skipped": exact.n_skipped,
    }
    title = title_of(subject, "search for heads")
    return Table(title, "search", interleaved(arms, rounds=rounds), facts)
