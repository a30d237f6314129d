"""Running out of memory halves a batch: nothing is lost, repeated or out of order."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
import torch
from small_device import small_device as within

from crosslens import (
    ablate,
    attribution_patching,
    bottleneck,
    Collection,
    conductance,
    Contrast,
    edge_attribution,
    head,
    patching,
    path_patching,
    rerank,
    sweep,
)
from crosslens.adapters import FrameReranker, SentenceTransformersReranker, text_ranking
from crosslens.attention import soft_tf_of_term
from crosslens.attribution import Noise, padding_baseline, patch_together
from crosslens.batching.batch_size import BatchSize, DoesNotFit, note_once
from crosslens.batching.batches import by_length
from crosslens.discovery.single_run import activation_difference, gradient_times_activation
from crosslens.engine.sweep import sweep_in_batches
from crosslens.faithfulness import keep_edges, keep_nodes
from crosslens.probing import early_scores, features
from crosslens.surrogate import observe
from crosslens.words import (
    attention_rollout,
    gradient_times_input,
    integrated_gradients,
    leave_one_out,
    noise_statistics,
    scores_of,
)


BASE = (
    "a car in the town and the bark of a dog by the river",
    "the engine of a car rest",
    "the car of a dog in the town",
    "a dog , a snake and a car by the long river",
    "why is the car in paris",
    "a car , a dog",
)


@pytest.fixture
def four(model):
    return model.pair("why do cats purr", "cats purr", "the river", "a dog and a snake", "france")


@pytest.fixture
def contrast(model) -> Contrast:
    """Six pairs of unequal length that differ in one word."""
    sides = []
    for word in ("car", "python"):
        texts = [text.replace("car", word) for text in BASE]
        sides.append(model.pairs(["why do cats purr"] * len(texts), texts))
    return Contrast.between(*sides, "one word")


@pytest.fixture
def small_device():
    """From when it is called on, memory holds so many rows; the rows of every pass."""
    with ExitStack() as stack:
        yield lambda *given: stack.enter_context(within(*given))


def test_batches_are_halved_until_they_fit_and_stay_so():
    def run(batch):
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return [item * 10 for item in batch]

    tried = []
    found = [x for _, batch in BatchSize(8).batches(run, range(10)) for x in batch]
    assert found == [item * 10 for item in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_what_does_not_fit_alone_is_an_error_and_so_is_any_other():
    def too_big(batch):
        raise torch.OutOfMemoryError

    def wrong(batch):
        raise ZeroDivisionError

    with pytest.raises(torch.OutOfMemoryError):
        list(BatchSize(4).batches(too_big, range(4)))
    with pytest.raises(ZeroDivisionError):
        list(BatchSize(4).batches(wrong, range(4)))


def test_conductance_survives_a_small_device(model, four, small_device):
    baseline = padding_baseline(model, four)
    expected = conductance(model, four, baseline, steps=4)
    sizes = small_device(9)
    flow = conductance(model, four, baseline, steps=4)
    assert max(sizes) > 9
    for site in flow.sites:
        torch.testing.assert_close(flow[site], expected[site], atol=1e-5, rtol=1e-4)


def test_the_bottleneck_survives_a_small_device(model, four, small_device):
    with torch.no_grad(), model.record("normalized_resid_post") as cache:
        model(four)
    noises = [Noise.of(value, four) for value in cache.values()]
    expected = bottleneck(model, four, noises, layers=[0], steps=2)
    sizes = small_device(25)
    passed = bottleneck(model, four, noises, layers=[0], steps=2)
    assert max(sizes) > 25
    torch.testing.assert_close(passed.nats, expected.nats, atol=1e-4, rtol=1e-4)


def tensors(value) -> Iterator[torch.Tensor]:
    """Every number of a result, as tensors."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, np.ndarray):
        yield torch.from_numpy(value)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors(each)
    elif isinstance(value, float):
        yield torch.tensor(value)


def of_group(model, contrast):
    pairs = contrast.base
    found = features(model, pairs, {"document": pairs.where("document")})["document"]
    return found.vectors, found.pair


def of_term(model, contrast):
    role = torch.zeros_like(contrast.base.token)
    role[:, 2] = 1
    return soft_tf_of_term(model, contrast.base.with_roles(role, ("rest", "Q+")))


def observed(model, contrast):
    frame = observe(model, contrast.base, model.heads()[:3]).frame()
    return frame.select_dtypes("number").to_numpy()


def kept(found):
    return found.kept, found.empty, found.whole


EDIT = ["ablate 1.1"]
QUERY = "why do cats purr"
FRAME = pd.DataFrame(
    {"qid": "1", "query": QUERY, "docno": [str(i) for i in range(len(BASE))], "text": BASE}
)


def predicted(model, _):
    theirs = SentenceTransformersReranker(model, EDIT)
    ranked = theirs.rank(QUERY, BASE, batch_size=5)
    return [theirs.predict([(QUERY, each) for each in BASE]), [each["score"] for each in ranked]]


def ranked_run(model, _):
    texts = dict(zip(FRAME["docno"], BASE, strict=True))
    asked = Collection("six", {"1": QUERY}, texts, candidates={"1": tuple(texts)})
    return [each.score for each in rerank(model, asked, EDIT)["1"]]


def answered(model, _):
    return [each["score"] for each in text_ranking(model, {"query": QUERY, "texts": BASE}, EDIT)]


# how a reranker is asked for scores: the sizes of batches are the caller's, or the engine's
SCORED: dict[str, Callable] = {
    "score": lambda m, c: m.score(QUERY, BASE, batch=6),
    "sentence-transformers": predicted,
    "rerank": ranked_run,
    "frame": lambda m, c: FrameReranker(m, EDIT).transform(FRAME)["score"].tolist(),
    "text ranking": answered,
}
MEASURES: dict[str, Callable] = SCORED | {
    "scores": lambda m, c: scores_of(m, c.base),
    "sweep": lambda m, c: sweep(m, c.base, [ablate(head) for head in m.heads()]),
    "patching": lambda m, c: patching(m, c, m.heads()).recovered,
    "attribution patching": lambda m, c: attribution_patching(m, c, m.heads()).recovered,
    "edge attribution": lambda m, c: edge_attribution(m, c).recovered,
    "path patching": lambda m, c: path_patching(m, c, m.heads()[:4]).recovered,
    "sets": lambda m, c: [
        (found := patch_together(m, c, m.heads()[:2], draws=2)).recovered,
        found.by_chance,
    ],
    "nodes": lambda m, c: kept(keep_nodes(m, c, [m.heads()[:3]])),
    "edges": lambda m, c: kept(keep_edges(m, c, [[]])),
    "features": of_group,
    "early scores": lambda m, c: early_scores(m, c.base),
    "rollout": lambda m, c: attention_rollout(m, c.base).token,
    "gradient x input": lambda m, c: gradient_times_input(m, c.base).token,
    "leave one out": lambda m, c: leave_one_out(m, c.base).token,
    "soft tf": of_term,
    "observed": observed,
    "noise": lambda m, c: [(n.mean, n.std) for n in noise_statistics(m, c.base)],
    "difference": lambda m, c: activation_difference(m, c, m.heads()),
    "gradient x activation": lambda m, c: gradient_times_activation(m, c, m.heads()),
}


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_measured_is_the_same_on_a_small_device(name, model, contrast, small_device):
    """A pass that fails has run, and whatever it recorded must count nowhere."""
    expected = [*tensors(MEASURES[name](model, contrast))]
    sizes = small_device(2, RuntimeError)
    found = [*tensors(MEASURES[name](model, contrast))]
    assert max(sizes) > 2, "the device was never too small"
    assert expected and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", SCORED)
def test_one_pair_that_cannot_be_scored_is_an_error_with_its_length(name, model, small_device):
    small_device(0)
    with pytest.raises(DoesNotFit, match=r"^one pair of \d+ tokens does not fit"):
        SCORED[name](model, None)


def test_a_batch_of_no_pair_is_refused_by_the_name_of_the_argument(model):
    with pytest.raises(ValueError, match="batch=0: take one pair at least"):
        model.score(QUERY, BASE, batch=0)


def test_integrated_gradients_survive_a_small_device(model, contrast, small_device):
    """One pass of all pairs at first, which must fit; then points on the way."""
    pairs = contrast.base
    expected = integrated_gradients(model, pairs, steps=8)
    sizes = small_device(len(pairs))
    found = integrated_gradients(model, pairs, steps=8)
    assert max(sizes) > len(pairs)
    torch.testing.assert_close(found.token, expected.token, atol=1e-5, rtol=1e-4)


def test_what_is_finished_is_not_run_again(model, contrast, small_device):
    sizes = small_device(2)
    found = dict.fromkeys(range(len(contrast)), 0)
    for rows, scores in by_length(lambda r: model(contrast.base.take(r)), contrast.base, 6):
        assert len(rows) == len(scores)
        for row in rows:
            found[row] += 1
    assert set(found.values()) == {1}
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]


def test_one_pair_that_does_not_fit_is_an_error_that_names_its_length(
    model, contrast, small_device
):
    small_device(0)
    longest = int(contrast.base.lengths.min())
    with pytest.raises(DoesNotFit, match=f"one pair of {longest} tokens does not fit.*max_length="):
        scores_of(model, contrast.base.take([int(contrast.base.lengths.argmin())]))
    with pytest.raises(DoesNotFit, match=r"^one pair of \d+ tokens does not fit") as refused:
        keep_nodes(model, contrast, [model.heads()[:3]])
    assert str(refused.value).count("does not fit") == 1  # said once, however deep it happened


def test_a_sweep_whose_hooks_see_all_pairs_says_that_fewer_may_be_swept(
    model, contrast, small_device
):
    """A hook within the pass may hold a value for each pair: halves of the pairs are no slab."""
    cells = [[ablate(head(0, 1)), ablate(head(1, 0))]]
    expected = sweep(model, contrast.base, cells)
    small_device(2)
    with pytest.raises(DoesNotFit, match=r"^one cell of 6 pairs \(sweep fewer at once\)"):
        sweep(model, contrast.base, cells)
    found = sweep_in_batches(model, contrast.base, cells)
    torch.testing.assert_close(found, expected)


def test_path_patching_walks_fewer_cells_at_once_where_memory_runs_out(
    model, contrast, monkeypatch
):
    """A walk's rows are tokens; where those of a single cell do not fit, the error says so."""
    receivers = [head(1, 1, "k")]
    expected = path_patching(model, contrast, model.heads()[:4], receivers).recovered
    whole, walked, most = type(model).relay, [], contrast.base.token.shape[1]

    def relay(self, start, stop, given, held):
        walked.append(max(map(len, given.values())))
        found = whole(self, start, stop, given, held)
        if walked[-1] > most:
            raise torch.OutOfMemoryError
        return found

    monkeypatch.setattr(type(model), "relay", relay)
    found = path_patching(model, contrast, model.heads()[:4], receivers).recovered
    assert max(walked) > most >= walked[-1]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4, equal_nan=True)
    most = 0
    with pytest.raises(DoesNotFit, match=r"^one pair of \d+ tokens does not fit"):
        path_patching(model, contrast, model.heads()[:4], receivers)


def test_the_log_says_once_that_batches_are_halved(model, contrast, small_device, caplog):
    note_once.cache_clear()
    small_device(3)
    with caplog.at_level(logging.WARNING, logger="crosslens"):
        for _ in range(3):
            [*by_length(lambda r: model(contrast.base.take(r)), contrast.base, 6)]
    assert [each.getMessage() for each in caplog.records] == [
        "out of memory: a batch of 6 is run again as batches of 3; what is computed is the same "
        "but for rounding"
    ]


def test_an_error_of_another_kind_is_not_tried_again(model, contrast):
    def wrong(rows):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot"):
        [*by_length(wrong, contrast.base, 6)]


def test_a_processor_without_memory_is_one_of_these_errors():
    """The very error of torch: two exabytes are more than any machine has."""
    size = BatchSize(4, tokens=7)
    with pytest.raises(DoesNotFit, match="one pair of 7 tokens does not fit"):
        [*size.batches(lambda batch: torch.empty(2**58), range(4))]
    assert size.halvings == 2
