"""How far the reproduction of a paper is, over all of its analyses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


@dataclass
class Progress:
    """The work of a paper, in seconds that its steps take on the embedded reranker.

    Another model takes another time for all of them: what is left follows from the pace so far.
    """

    name: str
    watch: Watch
    left: dict[str, Mapping[str, float]]  # folder of an analysis: seconds of each step
    finished: float = 0.0

    def __post_init__(self) -> None:
        self.total = sum(sum(steps.values()) for steps in self.left.values())

    def of(self, folder: str) -> Watch:
        """What an analysis reports its steps to."""
        steps, shares = self.left.get(folder, {}), {}

        def watch(step: str, done: int, of: int) -> None:
            shares[step] = done / max(of, 1)
            here = sum(seconds * shares.get(name, 0) for name, seconds in steps.items())
            self.watch(f"{folder}: {step}", done, of)
            self.show(self.finished + here)

        return watch

    def finish(self, folder: str) -> None:
        """All of an analysis is done, or it cannot be measured."""
        self.finished += sum(self.left.pop(folder, {}).values())
        self.show(self.finished)

    def show(self, done: float) -> None:
        """The whole, on its own line."""
        if self.total:
            self.watch(f"{self.name}, all of it", round(done), round(self.total))
