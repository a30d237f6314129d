"""A training step is the same step on a device that is too small for its batch."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from encoder_decoders import encoder_decoder, MONO, tokenizer
from tiny import AND_DECODER, tiny

from crosslens import CrossEncoder, load
from crosslens.batching.batch_size import DoesNotFit
from crosslens.hooks import Tap
from crosslens.tuning import (
    cross_entropy,
    Example,
    preference_loss,
    preferences_of,
    squared_error,
    tune,
    Tuning,
)
from crosslens.tuning.batch_gradient import BatchGradient


WORDS = ("purr", "rest", "in town", "bark", "river")
# of several lengths, and several of each
EXAMPLES = [Example("cats", f"cats {word} " + "a dog " * (2 * (i // 3)), 1.0)
            for i, word in enumerate(WORDS)] + [
    Example("cats", f"dog {word} " + "the car " * (2 * (i // 3)), 0.0)
    for i, word in enumerate(WORDS)
]  # fmt: skip
PREFERENCES = preferences_of(EXAMPLES)[:7]
LOSSES: dict[str, tuple[Any, list]] = {
    "cross entropy": (cross_entropy, EXAMPLES),
    "squared error": (squared_error, EXAMPLES),
    "preference": (preference_loss, PREFERENCES),
}


@pytest.mark.parametrize("family", [*AND_DECODER, "t5"])
def test_a_model_that_trains_draws_nothing(family: str):
    """Of no family is dropout a part, whatever its config says: so halves need no draw restored."""
    if family == "t5":
        words = {"template": MONO, "relevant": ("true", "false")}
        model = load(encoder_decoder(), tokenizer(), **words)
    else:
        model = load(*tiny(family))
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the river")
    expected, before = model(pairs), torch.get_rng_state()
    model.train()
    assert torch.equal(model(pairs), expected) and torch.equal(torch.get_rng_state(), before)


def summed(scores: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """No mean: twice the pairs, twice the loss."""
    return (scores - others).square().sum()


@pytest.fixture
def small(monkeypatch) -> Callable[[CrossEncoder, int], list[int]]:
    """Makes a model's passes of more than some rows end in an error; gives the sizes of all."""

    def make(model: CrossEncoder, rows: int) -> list[int]:
        whole, sizes = model.forward, []

        def forward(pairs):
            sizes.append(len(pairs))
            found = whole(pairs)
            if len(pairs) > rows:
                raise torch.OutOfMemoryError("no memory left for the pass there")
            return found

        monkeypatch.setattr(model, "forward", forward)
        return sizes

    return make


class FullOnTheWayBack(torch.autograd.Function):
    """Changes nothing; memory runs out behind it for more than so many rows."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rows: int) -> torch.Tensor:
        ctx.rows = rows
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        [gradient] = gradients
        if len(gradient) > ctx.rows:
            raise torch.OutOfMemoryError("no memory left on the way back")
        return gradient, None


def full_on_the_way_back(rows: int) -> Tap:
    return lambda activation: FullOnTheWayBack.apply(activation, rows)


def gradients(model: CrossEncoder) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def of_whole_batch(model: CrossEncoder, loss: Any, examples: list) -> dict[str, torch.Tensor]:
    """By the definition: one padded batch, one loss."""
    own = deepcopy(model)
    listed = [side for each in examples for side in each] if examples is PREFERENCES else examples
    scores = own(own.pairs([e.query for e in listed], [e.document for e in listed]))
    if examples is PREFERENCES:
        loss(scores[::2], scores[1::2]).backward()
    else:
        loss(scores, torch.tensor([e.label for e in listed]).to(scores)).backward()
    return gradients(own)


def require_alike(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys() and any(g.abs().max() > 1e-4 for g in expected.values())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-14, rtol=1e-9, msg=name)


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_halves_add_up_to_the_gradient_of_the_batch(name, rows, model, small):
    loss, examples = LOSSES[name]
    model.double()
    expected = of_whole_batch(model, loss, examples)
    sizes = small(model, rows)
    step = BatchGradient(model, [*model.parameters()], loss, len(examples), True)
    step.add(examples)
    assert max(sizes) > rows and step.halvings
    require_alike(gradients(model), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_way_back_that_failed_leaves_no_gradient_behind(name, model):
    """The last layers' gradients are there when memory runs out in the first."""
    loss, examples = LOSSES[name]
    model.double()
    expected = of_whole_batch(model, loss, examples)
    step = BatchGradient(model, [*model.parameters()], loss, len(examples), True)
    with model.tapped([(model.sites("resid_pre")[1], full_on_the_way_back(2))]):
        step.add(examples)
    assert step.halvings
    require_alike(gradients(model), expected)


def test_a_size_that_was_too_large_is_not_tried_again(model, small):
    sizes = small(model, 2)
    step = BatchGradient(model, [*model.parameters()], cross_entropy, 10, True)
    step.add(EXAMPLES)
    failed = len([size for size in sizes if size > 2])
    step.add(EXAMPLES)
    assert failed and len([size for size in sizes if size > 2]) == failed


@pytest.mark.parametrize("name", LOSSES)
def test_a_tuning_ends_with_the_same_weights_on_a_small_device(name, model, small, tmp_path):
    loss, examples = LOSSES[name]
    model.double()
    other = deepcopy(model)

    def tuned(some: CrossEncoder, file: str) -> list:
        better = iter(range(9))
        return tune(
            some, examples, lambda: float(next(better)), tmp_path / file,
            tuning=Tuning(epochs=2, rate=1e-3, batch=6), chosen=lambda _: True, loss=loss,
        )  # fmt: skip

    history = tuned(other, "large")
    sizes = small(model, 2)
    assert [e.loss for e in tuned(model, "small")[1:]] == pytest.approx(
        [e.loss for e in history[1:]], rel=1e-9
    )
    assert max(sizes) > 2
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-8, rtol=1e-6)


def test_what_does_not_fit_alone_is_an_error(model, small):
    small(model, 1)
    trained = [*model.parameters()]
    with pytest.raises(DoesNotFit, match=r"^one preference \(two pairs\) does not fit"):
        BatchGradient(model, trained, preference_loss, 8, True).add(PREFERENCES)
    small(model, 0)
    with pytest.raises(DoesNotFit, match=r"^one pair of \d+ tokens does not fit"):
        BatchGradient(model, trained, cross_entropy, 8, True).add(EXAMPLES)


def test_another_error_is_not_tried_again(model, monkeypatch):
    def wrong(pairs):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(model, "forward", wrong)
    for loss, examples in ((summed, PREFERENCES), (cross_entropy, EXAMPLES)):
        with pytest.raises(RuntimeError, match="shapes cannot"):
            BatchGradient(model, [*model.parameters()], loss, 8, False).add(examples)


def test_a_loss_that_is_no_mean_is_not_computed_in_parts(model, small, tmp_path):
    """A sum of judged pairs is refused; of preferences it is allowed while the batch fits."""
    one = Tuning(epochs=1, batch=7)

    def of(loss: Any, examples: list) -> Callable:
        better = iter(range(9))
        return lambda: tune(
            model, examples, lambda: float(next(better)), tmp_path / f"{len(examples)}",
            tuning=one, chosen=lambda _: True, loss=loss,
        )  # fmt: skip

    with pytest.raises(ValueError, match="summed.* is no mean over pairs"):
        of(summed, EXAMPLES)()
    fits = of(summed, PREFERENCES[:3])()
    assert len(fits) == 2
    small(model, 4)
    with pytest.raises(DoesNotFit, match=r"7 preferences .* Tuning\(batch=3\)"):
        of(summed, PREFERENCES)()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_losses_that_are_means_are_taken_for_them(model, tmp_path, n):
    for name, (loss, examples) in LOSSES.items():
        better = iter(range(9))
        assert tune(
            model, examples[:n], lambda b=better: float(next(b)), tmp_path / name,
            tuning=Tuning(epochs=1), chosen=lambda _: True, loss=loss,
        )  # fmt: skip


def test_a_batch_without_examples_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="batch=0: take one"):
        tune(
            model, EXAMPLES, lambda: 0.0, tmp_path / "s",
            tuning=Tuning(batch=0), chosen=lambda _: True,
        )  # fmt: skip
