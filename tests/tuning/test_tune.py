"""Tuning learns what it is told to, moves only what it may, and can be interrupted."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from crosslens import Collection, collection, CrossEncoder
from crosslens.tuning import (
    best_of,
    cross_entropy,
    Example,
    examples_of,
    is_embedding,
    split_queries,
    squared_error,
    tune,
    Tuning,
)


EXAMPLES = [
    Example("cats", f"cats {word}", 1.0) for word in ("purr", "rest", "in town", "bark")
] + [Example("cats", f"dog {word}", 0.0) for word in ("bark", "river", "in town", "sleep")]
QUICK = Tuning(epochs=3, rate=3e-3, batch=4)
LONG = Tuning(epochs=12, rate=1e-2, batch=4)


def loss_of(model: CrossEncoder) -> float:
    pairs = model.pairs([e.query for e in EXAMPLES], [e.document for e in EXAMPLES])
    with torch.no_grad():
        return float(cross_entropy(model(pairs), torch.tensor([e.label for e in EXAMPLES])))


def state(model: CrossEncoder) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_the_loss_falls(model, tmp_path, loss) -> None:
    before = loss_of(model)
    history = tune(
        model, EXAMPLES, lambda: -loss_of(model), tmp_path / "state.safetensors",
        tuning=LONG, chosen=lambda _: True, loss=loss,
    )  # fmt: skip
    assert loss_of(model) < before / 2
    assert [each.epoch for each in history] == list(range(13))
    assert history[0].validated == pytest.approx(-before)
    # what is left is the best epoch
    assert -loss_of(model) == pytest.approx(best_of(history).validated)


def test_a_step_is_that_of_the_whole_padded_batch(model, tmp_path) -> None:
    model.double()
    other = deepcopy(model)
    examples = [e._replace(document=f"{e.document} " * n) for n, e in enumerate(EXAMPLES, 1)]
    one = Tuning(epochs=1, batch=len(examples), weight_decay=0.0)
    better = iter((0.0, 1.0))
    tune(
        model, examples, lambda: next(better), tmp_path / "s", tuning=one, chosen=lambda _: True
    )  # fmt: skip

    pairs = other.pairs([e.query for e in examples], [e.document for e in examples])
    assert len(pairs.like_lengths()) > 2
    optimiser = torch.optim.AdamW(other.parameters(), lr=one.rate, weight_decay=0.0)
    cross_entropy(other(pairs), torch.tensor([e.label for e in examples]).double()).backward()
    optimiser.step()
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        if theirs.grad is not None:
            sure = theirs.grad.abs() > 1e-9  # AdamW's first step is the sign of the gradient
            torch.testing.assert_close(mine[sure], theirs[sure], atol=1e-9, rtol=0)


def test_only_the_chosen_parameters_move(model, tmp_path) -> None:
    before = state(model)
    tune(
        model, EXAMPLES, lambda: -loss_of(model), tmp_path / "s", tuning=QUICK, chosen=is_embedding
    )
    for name, value in state(model).items():
        assert torch.equal(value, before[name]) != is_embedding(name) or "token_type" in name, name
    assert all(each.requires_grad for each in model.parameters())


def test_a_tuning_that_makes_it_worse_is_undone(model, tmp_path) -> None:
    before = state(model)
    worse = iter((5.0, 4.0, 3.0, 2.0))
    history = tune(
        model, EXAMPLES, lambda: next(worse), tmp_path / "state",
        tuning=QUICK, chosen=lambda _: True,
    )  # fmt: skip
    assert best_of(history).epoch == 0
    for name, value in state(model).items():
        assert torch.equal(value, before[name])


def test_an_interrupted_tuning_ends_with_the_same_weights(model, tmp_path) -> None:
    other = deepcopy(model)
    run = partial(tune, tuning=QUICK, chosen=is_embedding)
    whole = run(model, EXAMPLES, lambda: -loss_of(model), tmp_path / "whole")

    calls = []

    def validate() -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return -loss_of(other)

    with pytest.raises(KeyboardInterrupt):
        run(other, EXAMPLES, validate, tmp_path / "cut")
    again = run(other, EXAMPLES, validate, tmp_path / "cut")
    assert len(calls) == 5 and [e.validated for e in again] == [e.validated for e in whole]
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(ValueError, match="another tuning"):
        tune(other, EXAMPLES, validate, tmp_path / "cut", tuning=Tuning(), chosen=is_embedding)


@pytest.mark.parametrize("change", ["cut", "empty", "flipped"])
def test_a_damaged_state_is_named(model, tmp_path, change) -> None:
    file = tmp_path / "state"
    run = partial(tune, model, EXAMPLES, lambda: 0.0, file, tuning=QUICK, chosen=is_embedding)
    run()
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 16  # in a weight
    kept = {"cut": whole[: len(whole) // 2], "empty": b"", "flipped": whole}
    file.write_bytes(kept[change])
    with pytest.raises(ValueError, match="state is damaged .*delete it, and this training"):
        run()


def test_the_rate_rises_and_falls() -> None:
    tuning = Tuning(warm_up=0.1)
    paces = [tuning.pace(step, 100) for step in range(101)]
    assert paces[9] == 1 and paces[0] == pytest.approx(0.1) and paces[100] == 0
    assert paces[:10] == sorted(paces[:10]) and paces[9:] == sorted(paces[9:], reverse=True)


def test_no_query_is_in_two_parts() -> None:
    split = split_queries(collection())
    parts = [set(part) for part in split]
    assert all(parts) and len(set.union(*parts)) == sum(map(len, parts))
    assert split == split_queries(collection())
    assert len(split.train) > len(split.test)


def test_examples_are_judged_documents_and_candidates_that_are_not() -> None:
    asked = collection()
    qids = split_queries(asked).train[:5]
    found = examples_of(asked, qids, negatives=2)
    text = {query: qid for qid, query in asked.queries.items()}
    ids = {document: docid for docid, document in asked.documents.items()}
    level = 2 if max(each.relevance for each in asked.qrels) >= 2 else 1
    for each in found:
        qid, docid = text[each.query], ids[each.document]
        assert (asked.labels[qid].get(docid, 0) >= level) == (each.label == 1)
    n_relevant = sum(each.label == 1 for each in found)
    assert len(found) == 3 * n_relevant and found == examples_of(asked, qids, negatives=2)


def test_wrong_questions_are_refused(model, tmp_path) -> None:
    with pytest.raises(ValueError, match="0 examples"):
        tune(model, [], lambda: 0.0, tmp_path / "s", tuning=QUICK, chosen=is_embedding)
    with pytest.raises(ValueError, match="0 parameters"):
        tune(model, EXAMPLES, lambda: 0.0, tmp_path / "s", tuning=QUICK, chosen=lambda _: False)
    bare = Collection("bare", {"1": "cats"}, {"a": "cats"}, candidates={"1": ("a",)})
    with pytest.raises(ValueError, match="too few judged queries"):
        split_queries(bare)
