"""A training run that can be interrupted anywhere and ends with the same weights."""

import copy
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from ...batching.batch_size import BatchSize, DoesNotFit, is_out_of_memory
from ...writing import write_whole
from .diet import List, Plan
from .objective import margins, ranking
from .reading import Reader, score


LOG = logging.getLogger(__name__)
LISTS: Final = 64  # of a batch, more than a batch has


@dataclass(frozen=True)
class Recipe:
    """The numbers of the optimisation.

    Learning rates rise over `warm_up` steps and fall to a twentieth along a half cosine.
    """

    rate: float = 2e-4
    head_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    margin_weight: float = 0.2
    average: float = 0.998
    save_every: int = 100
    at_once: int = 12
    threads: int = 2
    bfloat16: bool = True


class Run:
    """The weights, their running average, the optimiser, and how many steps were taken."""

    def __init__(self, model: BertForSequenceClassification, recipe: Recipe):
        self.model, self.recipe = model.train(), recipe
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(_groups(model, recipe), fused=True)
        self.threads = ThreadPoolExecutor(recipe.threads)
        self.lists = BatchSize(LISTS, item="list")  # how many are in memory
        self.step = self.reported = 0

    def fit(
        self,
        reader: Reader,
        plan: Plan,
        folder: Path,
        each_epoch: Callable[[int, BertForSequenceClassification], None],
        stop_after: int | None = None,
    ) -> None:
        """Take every step of `plan` not yet taken; call `each_epoch` with the averaged model.

        `stop_after` interrupts after that many steps in all, as a power cut would after a save.
        """
        epochs = [plan.epoch(number) for number in range(plan.epochs)]
        total = sum(map(len, epochs))
        start = 0
        for number, batches in enumerate(epochs):
            for batch in batches[max(0, self.step - start) :]:
                if self.step == stop_after:
                    self.save(folder)
                    return
                began = time.monotonic()
                loss = self.take_step(reader, batch, total)
                if self.step % 20 == 0:
                    _report(number, self.step, total, loss, batch, time.monotonic() - began)
                if self.step % self.recipe.save_every == 0:
                    self.save(folder)
            start += len(batches)
            if self.reported == number:
                each_epoch(number, self.average)
                self.reported += 1
                self.save(folder)

    def take_step(self, reader: Reader, batch: Sequence[List], total: int) -> dict[str, float]:
        """Move the weights against the mean gradient of a batch's lists.

        Lists are read side by side, one thread each: threads then wait for each other once a step,
        not in every matrix product, which matters on a machine that is shared. Where memory runs
        out, fewer lists are read side by side: the gradients are the same.

        Raises:
            DoesNotFit: there is no memory for one list; says what to make smaller.
        """

        def side_by_side(lists: Sequence[List]) -> list[Lesson]:
            tasks = [
                self.threads.submit(gradient, self.model, reader, a_list, self.recipe)
                for a_list in lists
            ]
            wait(tasks)  # none goes on in memory that another lacked
            return [task.result() for task in tasks]

        pace = self._pace(total)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * pace
        found = [one for _, part in self.lists.batches(side_by_side, batch) for one in part]
        for parameter, *gradients in zip(
            self.model.parameters(), *(one.gradients for one in found), strict=True
        ):
            parameter.grad = reduce(torch.add, gradients) / len(batch)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        self._follow()
        return {
            "ranking": sum(one.ranking for one in found) / len(found),
            "margins": sum(one.margins for one in found) / len(found),
        }

    def _pace(self, total: int) -> float:
        if self.step < self.recipe.warm_up:
            return (self.step + 1) / self.recipe.warm_up
        gone = (self.step - self.recipe.warm_up) / max(1, total - self.recipe.warm_up)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; early on it forgets faster, or it would remember the start."""
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for ours, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - keep)

    def save(self, folder: Path) -> None:
        """Everything a later run needs; a cut leaves the last one whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "reported": self.reported,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(folder / "checkpoint.pt", content.getvalue())

    def resume(self, folder: Path) -> bool:
        """Whether `folder` held a checkpoint to go on from."""
        if not (folder / "checkpoint.pt").is_file():
            return False
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.reported = state["step"], state["reported"]
        LOG.info("resumed at step %d", self.step)
        return True


def _groups(model: BertForSequenceClassification, recipe: Recipe) -> list[dict]:
    """Parameters by learning rate and decay; tables and vectors are not pulled to zero."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        rate = recipe.head_rate if name.startswith("classifier") else recipe.rate
        is_map = parameter.ndim == 2 and "embeddings" not in name
        groups.setdefault((rate, recipe.weight_decay * is_map), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


class Lesson(NamedTuple):
    """What one list teaches: its two losses, and the gradient of their sum for each parameter."""

    ranking: float
    margins: float
    gradients: tuple[Tensor, ...]


def gradient(
    model: BertForSequenceClassification, reader: Reader, a_list: List, recipe: Recipe
) -> Lesson:
    """What a list teaches; all its scores meet in the loss, so that they are in memory together.

    Raises:
        DoesNotFit: they are too many.
    """
    pairs, at_once = a_list.pairs, recipe.at_once
    try:
        scores = score(model, reader, pairs, at_once=at_once, bfloat16=recipe.bfloat16)
        targets = torch.from_numpy(a_list.targets).float()
        rank, margin = ranking(scores, targets), margins(scores, targets)
        loss = rank + recipe.margin_weight * margin
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return Lesson(rank.item(), margin.item(), gradients)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFit(
            f"one list of {len(pairs)} documents, of {reader.lengths.pair} tokens a pair at most, "
            "does not fit into memory: take fewer documents a list (Plan.documents), or shorter "
            "pairs (Lengths.pair)"
        ) from error


def _report(
    epoch: int, step: int, total: int, loss: dict[str, float], batch: Sequence[List], seconds: float
) -> None:
    n_pairs = sum(len(a_list.documents) for a_list in batch)
    LOG.info(
        "epoch %d step %d/%d ranking %.3f margins %.3f, %.0f pairs/s",
        epoch, step, total, loss["ranking"], loss["margins"], n_pairs / seconds,
    )  # fmt: skip
