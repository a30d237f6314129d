from collections import Counter

import numpy as np
import pytest

from crosslens.default.training.diet import FULL, Plan, sample
from crosslens.default.training.pools import Pool, Pools


def pool(query: int, n: int, source: str) -> Pool:
    return Pool(query, np.arange(n), np.linspace(3.0, -3.0, n), source)


@pytest.fixture
def pools() -> Pools:
    made = [pool(i, 40, "trec-dl-2020") for i in range(7)]
    return Pools(("text",) * 40, (*made, pool(7, 5, "wikiqa"), pool(8, 9, "web-windows")))


def test_an_epoch_is_the_same_whenever_it_is_asked_for(pools):
    plan = Plan(pools, seed=5, epochs=3, share=0.05)

    def seen(number):
        return [pair for batch in plan.epoch(number) for a_list in batch for pair in a_list.pairs]

    assert seen(2) == seen(2)
    assert seen(1) != seen(2)


def test_no_pool_comes_again_before_the_others_have_come(pools):
    plan = Plan(pools, seed=5, epochs=3, short_epochs=0, share=7 / FULL["trec-dl-2020"])
    queries = Counter(a_list.query for batch in plan.epoch(0) for a_list in batch)
    assert [queries[i] for i in range(7)] == [1] * 7


def test_batches_hold_about_as_many_pairs_as_asked(pools):
    sizes = [
        sum(len(a_list.documents) for a_list in batch)
        for batch in Plan(pools, seed=5, epochs=1, share=0.05).epoch(0)
    ]
    assert all(60 <= size < 60 + 12 for size in sizes[:-1])


def test_a_list_spans_its_pool_and_leans_to_the_top():
    drawn = sample(pool(0, 200, "x"), 12, np.random.default_rng(0))
    assert len(set(drawn.documents)) == len(drawn.documents) <= 12
    assert (drawn.documents < 50).sum() >= 5 and drawn.documents.max() > 150


def test_a_small_pool_is_taken_whole():
    drawn = sample(pool(0, 5, "x"), 12, np.random.default_rng(0))
    assert sorted(drawn.documents) == [0, 1, 2, 3, 4]


def test_pools_are_read_back_as_they_were_written(pools, tmp_path):
    pools.save(tmp_path / "pools.npz")
    again = Pools.load(tmp_path / "pools.npz")
    assert again.texts == pools.texts
    for found, expected in zip(again.pools, pools.pools, strict=True):
        assert (found.query, found.source) == (expected.query, expected.source)
        assert np.array_equal(found.documents, expected.documents)
        assert np.allclose(found.targets, expected.targets)


def test_joined_pools_share_a_text_that_both_hold():
    one = Pools(("egg", "milk", "ask"), (Pool(2, np.array([0, 1]), np.array([1.0, 0.0]), "a"),))
    two = Pools(("milk", "say"), (Pool(1, np.array([0]), np.array([2.0]), "b"),))
    joined = Pools.join([one, two])
    assert joined.texts == ("egg", "milk", "ask", "say")
    assert joined.pools[1].query == 3 and list(joined.pools[1].documents) == [1]
