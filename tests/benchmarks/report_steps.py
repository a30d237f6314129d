"""Where the time of a report goes, step by step."""

from collections.abc import Mapping
from tempfile import TemporaryDirectory

from crosslens import collection, load
from crosslens.findings import Findings
from crosslens.report.measure import measure
from crosslens.report.question import Question

from .timing import Clock, Measured, Table


def report_steps(question: Question) -> Table:
    """Seconds of every step that the report names, the first being all of its measuring.

    A step lasts until another one is named; what comes before the first is preparation.
    """
    model, texts = load(question.model), collection(question.collection)
    taken: dict[str, float] = {}
    last, now = "preparing", Clock.now()

    def watch(step: str, done: int, total: int) -> None:
        nonlocal last, now
        before, now = now, Clock.now()
        taken[last] = taken.get(last, 0) + now - before
        last = step

    with TemporaryDirectory() as folder:
        measure(question, model, texts, Findings.create(folder, question.config), watch)
    watch("", 0, 0)
    whole = sum(taken.values())
    title = f"report on {question.model} and {question.collection}, {question.pairs} pairs"
    return Table(title, "report", measured({"measuring": whole, **taken}), {})


def measured(seconds: Mapping[str, float]) -> dict[str, Measured]:
    """Each as a share of the whole, which is the first."""
    (whole, *_) = seconds.values()
    return {
        name: Measured(value, value / whole, value / whole, value / whole)
        for name, value in seconds.items()
    }
