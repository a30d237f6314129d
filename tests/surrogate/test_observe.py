"""What is observed is what the model did, in any batch, and what the texts hold."""

from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch
from tiny import tiny

from crosslens import Collection, CrossEncoder, Findings, head, load, Pairs
from crosslens.attention import soft_tf
from crosslens.surrogate import first_tokens, observe, observe_candidates, Observed


QUERIES = {"a": "why do cats purr", "b": "capital of france", "c": "dog"}
DOCUMENTS = {
    "1": "cats purr when they rest cats",
    "2": "the engine of a car and the cats of the town",
    "3": "paris is the capital and largest city of france in france",
}


@pytest.fixture
def collection() -> Collection:
    return Collection("small", QUERIES, DOCUMENTS, candidates={q: tuple("123") for q in QUERIES})


@pytest.fixture
def both(model: CrossEncoder) -> Pairs:
    """Queries and documents of unequal length."""
    asked = [(q, d) for q in QUERIES.values() for d in DOCUMENTS.values()]
    return model.pairs(*map(list, zip(*asked, strict=True)))


def test_it_is_soft_tf_and_the_score(any_model: CrossEncoder) -> None:
    any_model.double()
    asked = [(q, d) for q in QUERIES.values() for d in DOCUMENTS.values()]
    pairs = any_model.pairs(*map(list, zip(*asked, strict=True)))
    # a budget for a few rows, so that batches are cut and put together again
    found = observe(any_model, pairs, any_model.heads(), memory_budget=4_000_000)
    plain = soft_tf(any_model, pairs).flatten(0, 1)
    for i in range(len(pairs)):
        query = pairs.where("query")[i]
        n = int(query.sum())
        expected = plain[:, i, query].T.numpy()
        np.testing.assert_allclose(found.soft_tf[i, :n], expected, atol=1e-10, rtol=0)
        assert not found.soft_tf[i, n:].any() and not found.is_token[i, n:].any()
        assert found.token[i, :n].tolist() == pairs.token[i, query].tolist()
    with torch.no_grad():
        np.testing.assert_allclose(found.score, any_model(pairs).numpy(), atol=1e-10, rtol=0)


def test_exact_counts_are_those_of_the_texts(model: CrossEncoder, both: Pairs) -> None:
    found = observe(model, both, [head(0, 1)])
    cats, france = (model.tokens.tokenizer.get_vocab()[word] for word in ("cats", "france"))
    for i in range(len(both)):
        words = both.document[i].split()
        assert found.length[i] == len(words)
        for token, word in ((cats, "cats"), (france, "france")):
            for at in np.flatnonzero(found.token[i] == token):
                assert found.tf[i, at] == words.count(word)
    assert found.tf.max() == 2


def test_only_the_layers_of_the_heads_are_looked_into(model: CrossEncoder, both: Pairs) -> None:
    chosen = [head(2, 3), head(0, 1), head(2, 0)]
    found = observe(model, both, chosen)
    assert found.heads == ("2.3", "0.1", "2.0")
    every = observe(model, both, model.heads())
    np.testing.assert_allclose(found.soft_tf, every.of(chosen), atol=1e-6)
    with pytest.raises(LookupError, match="1.1.*not observed"):
        found.of([head(1, 1)])


def test_the_last_separator_counts_only_where_asked(model: CrossEncoder, both: Pairs) -> None:
    narrow = observe(model, both, model.heads()).soft_tf
    wide = observe(model, both, model.heads(), src=("document", "sep2")).soft_tf
    assert (wide >= narrow).all() and (wide > narrow).any()


def test_a_table_holds_all_of_it(model: CrossEncoder, both: Pairs) -> None:
    found = observe(model, both, model.heads()[:3], qid=list("aaabbbccc"), docid=list("123" * 3))
    back = Observed.of_frame(found.frame())
    assert back.heads == found.heads
    for name in ("qid", "docid", "score", "length", "token", "tf", "soft_tf"):
        assert (getattr(back, name) == getattr(found, name)).all()


def test_a_value_of_each_token_is_looked_up(model: CrossEncoder, both: Pairs) -> None:
    found = observe(model, both, [head(0, 0)])
    values = torch.arange(len(model.W_E)).double() + 0.5
    at = found.at(values)
    assert (at[found.is_token] == found.token[found.is_token] + 0.5).all()
    assert not at[~found.is_token].any()


def test_an_interrupted_run_is_gone_on_with(
    model: CrossEncoder, collection: Collection, tmp_path, monkeypatch
) -> None:
    whole = observe_candidates(model, collection, model.heads())
    monkeypatch.setattr(import_module("crosslens.surrogate.observe"), "QUERIES_PER_CHUNK", 1)
    findings = Findings.create(tmp_path / "run", {})
    keep = partial(findings.chunk, "observed")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe_candidates(model, collection, model.heads(), keep=keep, progress=stop)
    assert len(findings.finished("observed")) == 2
    seen = []
    monkeypatch.setattr(model, "pairs", lambda q, d, old=model.pairs: seen.append(q) or old(q, d))
    resumed = observe_candidates(model, collection, model.heads(), keep=keep)
    assert [set(queries) for queries in seen] == [{"dog"}]
    np.testing.assert_allclose(resumed.soft_tf, whole.soft_tf, atol=1e-6)
    np.testing.assert_allclose(resumed.score, whole.score, atol=1e-5)
    assert (resumed.docid == whole.docid).all() and len(whole) == 9


def test_a_query_is_cut_before_the_model_reads_it(
    model: CrossEncoder, collection: Collection
) -> None:
    found = observe_candidates(model, collection, model.heads(), n_tokens=3)
    assert set(found.qid) == {"a", "b"} and found.token.shape[1] == 3
    expected = observe(model, model.pair("why do cats", *DOCUMENTS.values()), model.heads())
    np.testing.assert_allclose(found.score[:3], expected.score, atol=1e-5)
    np.testing.assert_allclose(found.soft_tf[:3], expected.soft_tf, atol=1e-6)
    with pytest.raises(ValueError, match="has candidates and 9 tokens"):
        observe_candidates(model, collection, model.heads(), n_tokens=9)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_cut_query_is_the_shorter_query(family: str) -> None:
    model = load(*tiny(family))
    pairs = model.pairs(["why do cats purr", "capital of france"], [*DOCUMENTS.values()][:2])
    cut = first_tokens(pairs, 2)
    expected = model.pairs(["why do", "capital of"], [*DOCUMENTS.values()][:2])
    at = expected.attended
    for name in ("token", "segment", "word", "span"):
        assert (getattr(cut, name)[at] == getattr(expected, name)[at]).all()
    assert (cut.attended == at).all()
    with torch.no_grad():
        torch.testing.assert_close(model(cut), model(expected))
    assert (first_tokens(expected, 2).token == expected.token).all()


def test_wrong_questions_are_refused(model: CrossEncoder, both: Pairs) -> None:
    with pytest.raises(ValueError, match="no head"):
        observe(model, both, [])
    with pytest.raises(ValueError, match="2 qids for 9 pairs"):
        observe(model, both, model.heads(), qid=["a", "b"])
    with pytest.raises(MemoryError, match="observing one pair"):
        observe(model, both, model.heads(), memory_budget=10)
    with pytest.raises(ValueError, match="fewer than 2"):
        first_tokens(both, 2)
    with pytest.raises(ValueError, match="at least one"):
        first_tokens(both, 0)
