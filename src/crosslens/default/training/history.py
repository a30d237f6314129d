"""What every epoch scored on the development queries, and which epoch was the best."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class History:
    """A file with a line of figures for each epoch."""

    path: Path

    def lines(self) -> list[dict[str, int | float]]:
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def add(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether `epoch` beats every earlier one in the mean of its `figures`."""
        mean = sum(figures.values()) / len(figures)
        best = max((line["mean"] for line in self.lines()), default=float("-inf"))
        with self.path.open("a") as lines:
            lines.write(json.dumps({"epoch": epoch, "mean": mean, **figures}) + "\n")
        return mean > best
