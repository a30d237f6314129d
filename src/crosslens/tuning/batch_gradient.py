"""The gradient of a batch's mean loss, computed in parts that fit into memory.

Pairs of like length run together, unpadded; where memory runs out, halves of them do. The gradients
of the parts add up to that of the batch, because the loss is a mean: L = Σ (n_part / n) L_part. The
scores of a preference meet in the loss, so that its two pairs stay in one part.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import nn, Tensor

from ..batching.batch_size import BatchSize, DoesNotFit, is_out_of_memory
from ..pairs import Pairs
from .examples import Example, Preference


Loss = Callable[[Float[Tensor, " pair"], Float[Tensor, " pair"]], Tensor]  # a mean over pairs
Gradients = tuple[Tensor | None, ...]  # of each trained parameter; None where it has no part


@runtime_checkable
class Trainable(Protocol):
    """What is asked of a model: it reads texts, scores pairs and has parameters."""

    def __call__(self, pairs: Pairs) -> Float[Tensor, " pair"]: ...
    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


def is_a_mean(loss: Loss, examples: Sequence[Example] | Sequence[Preference], like: Tensor) -> bool:
    """Whether `loss` of a batch is the mean over its parts, as scores of a few examples show.

    Two parts of different sizes, so that a sum is told from a mean. The scores are drawn, of the
    device and precision of `like`, float32 at least.
    """
    few = examples[:: max(1, len(examples) // 6)][:6]
    n, cut = len(few), len(few) // 3
    if not cut:
        few, n, cut = [*few, *few, *few], 3 * len(few), 1
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, n, generator=generator, dtype=torch.float64)
    scores, others = drawn.to(like.device, torch.promote_types(like.dtype, torch.float32))
    labels = [each.label for each in few if isinstance(each, Example)]
    if labels:
        others = torch.tensor(labels).to(scores)
    with torch.no_grad():
        whole = loss(scores, others)
        one, two = loss(scores[:cut], others[:cut]), loss(scores[cut:], others[cut:])
    return torch.allclose(whole, (cut * one + (n - cut) * two) / n, rtol=1e-4, atol=1e-6)


class BatchGradient:
    """Adds to the trained parameters' `grad`, part by part.

    A part that did not fit leaves nothing behind: what it found is added once it is whole.
    """

    def __init__(
        self,
        model: Trainable,
        trained: Sequence[nn.Parameter],
        loss: Loss,
        batch: int,
        is_mean: bool,
    ) -> None:
        self.model, self.trained, self.loss, self.is_mean = model, trained, loss, is_mean
        self.batch, self.halvings = batch, 0

    def add(self, some: Sequence[Example] | Sequence[Preference]) -> float:
        """Add that of a batch to what the parameters have; the loss of the batch.

        Raises:
            DoesNotFit: there is no memory for one example, or for the batch where the loss is no
                mean.
        """
        preferences = [each for each in some if isinstance(each, Preference)]
        if preferences:
            return self._of_preferences(preferences)
        return self._of_judged([each for each in some if isinstance(each, Example)])

    def _of_judged(self, some: Sequence[Example]) -> float:
        """Pairs of like length run together, unpadded."""
        pairs = self.model.pairs([each.query for each in some], [each.document for each in some])
        labels = torch.tensor([each.label for each in some])
        total = 0.0
        for width, members in pairs.like_lengths():

            def run(rows: Sequence[int], width: int = width) -> tuple[float, Gradients]:
                scores = self.model(pairs.take(list(rows), width=width))
                value = self.loss(scores, labels[list(rows)].to(scores))
                return self._differentiated(value * (len(rows) / len(some)))

            size = BatchSize(max(1, self.batch >> self.halvings), tokens=width)
            total += self._added(run, members, size)
        return total

    def _of_preferences(self, some: Sequence[Preference]) -> float:
        """The scores of a preference meet in the loss: both of its pairs run in one part."""

        def run(part: Sequence[Preference]) -> tuple[float, Gradients]:
            both = [side for each in part for side in each]
            texts = [each.query for each in both], [each.document for each in both]
            pairs = self.model.pairs(*texts)
            order: list[int] = []
            parts = []
            for width, rows in pairs.like_lengths():
                order += rows
                parts.append(self.model(pairs.take(rows, width=width)))
            scores = torch.cat(parts)[torch.tensor(order).argsort().to(parts[0].device)]
            value = self.loss(scores[::2], scores[1::2])
            return self._differentiated(value * (len(part) / len(some)))

        def run_whole(part: Sequence[Preference]) -> tuple[float, Gradients]:
            try:
                return run(part)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise DoesNotFit(
                    f"a batch of {len(part)} preferences does not fit into memory, and "
                    f"{self.loss!r:.80} is no mean over preferences that halves of the batch could "
                    f"give: take Tuning(batch={max(1, len(part) // 2)}), or shorter documents"
                ) from error

        if not self.is_mean:
            value, found = run_whole(some)
            self._add(found)
            return value
        size = BatchSize(max(1, self.batch >> self.halvings), item="preference (two pairs)")
        return self._added(run, some, size)

    def _added(self, run: Callable, items: Sequence, size: BatchSize) -> float:
        """Add the gradients of all parts, and note how small they had to be."""
        total = 0.0
        for _, (value, found) in size.batches(run, items):
            self._add(found)
            total += value
        self.halvings += size.halvings
        return total

    def _differentiated(self, value: Tensor) -> tuple[float, Gradients]:
        """The value, and its gradients, which are added nowhere yet."""
        return value.item(), torch.autograd.grad(value, self.trained, allow_unused=True)

    @torch.no_grad()
    def _add(self, gradients: Gradients) -> None:
        for parameter, found in zip(self.trained, gradients, strict=True):
            if found is None:
                continue
            if parameter.grad is None:
                parameter.grad = found
            else:
                parameter.grad += found
