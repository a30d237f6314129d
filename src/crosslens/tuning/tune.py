"""A short fine-tuning of chosen parameters that can be interrupted after any epoch.

After each epoch the model is validated; what is left in the end are the weights of the best epoch,
the untuned ones among them. A file holds weights, optimiser and history, so that the same call
goes on where an interrupted one was, and ends with the same weights.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save
from torch import nn, Tensor

from ..batching.batches import require_one
from ..writing import read_checked, write_checked
from .batch_gradient import BatchGradient, is_a_mean, Loss, Trainable
from .examples import Example, Preference


Chosen = Callable[[str], bool]  # by a parameter's name


@dataclass(frozen=True)
class Tuning:
    """The numbers of a fine-tuning. The rate rises over the first `warm_up` of all steps, then
    falls to 0 in a straight line.

    A step is taken against the mean gradient of `batch` examples. Where memory runs out, halves of
    the batch run one after another and their gradients are added: the step is the same but for
    rounding.
    """

    epochs: int = 3
    rate: float = 2e-5
    warm_up: float = 0.1
    batch: int = 32
    weight_decay: float = 0.01
    seed: int = 0

    def pace(self, step: int, total: int) -> float:
        """The share of the rate at a step."""
        rising = max(1, math.ceil(self.warm_up * total))
        if step < rising:
            return (step + 1) / rising
        return max(0.0, (total - step) / max(1, total - rising))


def cross_entropy(
    scores: Float[Tensor, " pair"], labels: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """Of a relevant pair's probability, the sigmoid of its score."""
    return nn.functional.binary_cross_entropy_with_logits(scores, labels)


def squared_error(
    scores: Float[Tensor, " pair"], labels: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """Of the sigmoid of the score, as the authors train."""
    return nn.functional.mse_loss(scores.sigmoid(), labels)


def preference_loss(
    better: Float[Tensor, " pair"], worse: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the better's coming first, the sigmoid of the difference of the scores."""
    return nn.functional.softplus(worse - better).mean()


class Epoch(NamedTuple):
    """What came of an epoch; 0 is before any. `loss` is the mean over its batches."""

    epoch: int
    loss: float
    validated: float


def tune(
    model: Trainable,
    examples: Sequence[Example] | Sequence[Preference],
    validate: Callable[[], float],
    file: Path,
    *,
    tuning: Tuning,
    chosen: Chosen,
    loss: Loss = cross_entropy,
) -> list[Epoch]:
    """Trains the `chosen` parameters, leaves those of the best epoch in the model, and says what
    each epoch came to.

    Args:
        examples: judged pairs, whose scores and labels `loss` compares; or preferences, whose
            better and worse scores it compares, as `preference_loss` does.
        validate: how good the model is now; higher is better, on queries that are neither trained
            on nor reported.
        file: where the state is kept; a call that finds it goes on from there.
        loss: a mean over its pairs: that of a batch is the mean over parts of the batch, which run
            apart. Of preferences another loss is allowed while a whole batch fits into memory.

    Raises:
        ValueError: no example, no parameter is chosen, `file` belongs to another tuning, a batch
            without examples, or a loss of judged pairs that is no mean over them.
        DoesNotFit: there is no memory for one example, or for a batch of preferences whose loss is
            no mean over them.
        Damaged: `file` does not hold what was kept there.
    """
    require_one(tuning.batch, "batch")
    trained = {name: each for name, each in model.named_parameters() if chosen(name)}
    if not examples or not trained:
        raise ValueError(f"nothing to tune: {len(examples)} examples, {len(trained)} parameters")
    is_mean = is_a_mean(loss, examples, next(iter(trained.values())))
    if not is_mean and isinstance(examples[0], Example):
        raise ValueError(
            f"{loss!r:.80} is no mean over pairs: of a batch it is not what the mean over parts of "
            "the batch is, and pairs of one length are run apart from others"
        )
    gradient = BatchGradient(model, [*trained.values()], loss, tuning.batch, is_mean)
    optimiser = torch.optim.AdamW(
        trained.values(), lr=tuning.rate, weight_decay=tuning.weight_decay
    )
    total = tuning.epochs * math.ceil(len(examples) / tuning.batch)
    asked = json.dumps({**asdict(tuning), "examples": len(examples), "parameters": len(trained)})
    history, best = _resumed(file, trained, optimiser, asked)
    if not history:
        history, best = [Epoch(0, math.nan, validate())], _copied(trained)
        _keep(file, trained, best, optimiser, history, asked)
    with _only(model, trained):
        while len(history) <= tuning.epochs:
            epoch = len(history)
            found = _epoch(gradient, examples, optimiser, tuning, epoch, total)
            history.append(Epoch(epoch, found, validate()))
            if history[-1].validated > max(each.validated for each in history[:-1]):
                best = _copied(trained)
            _keep(file, trained, best, optimiser, history, asked)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(best[name])
    return history


def best_of(history: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights are kept: the first of the best."""
    return max(history, key=lambda each: each.validated)


def _epoch(
    gradient: BatchGradient,
    examples: Sequence[Example] | Sequence[Preference],
    optimiser: torch.optim.Optimizer,
    tuning: Tuning,
    epoch: int,
    total: int,
) -> float:
    """One pass over the examples, in an order that the seed and the epoch make."""
    chance = torch.Generator().manual_seed(1_000 * tuning.seed + epoch)
    batches = torch.randperm(len(examples), generator=chance).split(tuning.batch)
    losses = []
    for i, rows in enumerate(batches):
        step = (epoch - 1) * len(batches) + i
        for group in optimiser.param_groups:
            group["lr"] = tuning.rate * tuning.pace(step, total)
        some = [examples[row] for row in rows.tolist()]
        optimiser.zero_grad()
        losses.append(gradient.add(some))
        optimiser.step()
    optimiser.zero_grad()
    return sum(losses) / len(losses)


@contextmanager
def _only(model: Trainable, trained: dict[str, nn.Parameter]) -> Iterator[None]:
    """Let gradients reach the trained parameters and no others."""
    before = {name: each.requires_grad for name, each in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


def _copied(trained: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in trained.items()}


def _keep(
    file: Path,
    trained: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    history: Sequence[Epoch],
    asked: str,
) -> None:
    """Write all that a later call needs, whole or not at all."""
    tensors = {f"now.{name}": each.detach() for name, each in trained.items()}
    tensors |= {f"best.{name}": each for name, each in best.items()}
    for name, parameter in trained.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    whole = {name: each.cpu().contiguous().clone() for name, each in tensors.items()}
    metadata = {"history": json.dumps([tuple(each) for each in history]), "asked": asked}
    write_checked(file, save(whole, metadata))


def _resumed(
    file: Path,
    trained: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    asked: str,
) -> tuple[list[Epoch], dict[str, Tensor]]:
    """What an interrupted call left: history and best weights; nothing if there was none."""
    if not file.is_file():
        return [], {}
    read_checked(file, "delete it, and this training begins anew")
    with safe_open(file, framework="pt") as kept:
        metadata = kept.metadata()
        if metadata["asked"] != asked:
            raise ValueError(
                f"{file} holds another tuning ({metadata['asked']}, not {asked}): remove it, or "
                "name another file"
            )
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(kept.get_tensor(f"now.{name}"))
        for key in kept.keys():  # noqa: SIM118, a file and no mapping
            part, _, name = key.partition(".")
            if part not in ("now", "best"):
                optimiser.state[trained[name]][part] = kept.get_tensor(key).to(trained[name].device)
        best = {name: kept.get_tensor(f"best.{name}").to(each) for name, each in trained.items()}
    return [Epoch(*each) for each in json.loads(metadata["history"])], best
