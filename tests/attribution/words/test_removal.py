"""Words deleted and hidden, against plain rescoring."""

from dataclasses import replace

import pytest
import torch

from crosslens import CrossEncoder, load, Pairs, plant
from crosslens.attribution.words.removal import hide_one_out, leave_one_out, without


def test_leave_one_out_is_the_fall_of_the_score_of_the_text_without_the_word(
    any_model: CrossEncoder,
) -> None:
    query, document = "why do cats purr", "cats purr when they rest"
    pairs = any_model.pair(query, document, "the engine of a car and the cats of the town")
    words = leave_one_out(any_model, pairs).words()
    with torch.no_grad():
        whole = float(any_model(pairs)[0])
    for side in ("query", "document"):
        own = words[(words["pair"] == 0) & (words["segment"] == side)]
        for word, text, value in own[["word", "text", "value"]].itertuples(index=False):
            left = {"query": query.split(), "document": document.split()}
            assert left[side].pop(word) == text
            with torch.no_grad():
                scored = any_model(any_model.pair(*(" ".join(part) for part in left.values())))
            assert value == pytest.approx(whole - float(scored), abs=1e-5)


def test_a_deleted_token_is_gone_and_the_others_move_up(pairs: Pairs) -> None:
    word = pairs.where("document") & (pairs.word == 1)
    left = without(pairs, word)
    assert (left.lengths == pairs.lengths - word.sum(dim=1)).all()
    for i in range(len(pairs)):
        kept = pairs.attended[i] & ~word[i]
        assert left.token[i][left.attended[i]].tolist() == pairs.token[i][kept].tolist()
    assert without(pairs, torch.zeros_like(word)).token.tolist() == pairs.token.tolist()


def test_special_tokens_are_never_deleted(pairs: Pairs) -> None:
    with pytest.raises(ValueError, match=r"\[SEP1\]: only tokens of the query and the document"):
        without(pairs, pairs.where("sep1"))


def test_nothing_of_a_hidden_word_reaches_the_score(model: CrossEncoder, pairs: Pairs) -> None:
    last = [int(pairs.where("document")[i].nonzero()[-1]) for i in range(len(pairs))]
    other = pairs.token.clone()
    other[range(2), last] = pairs.token[0, 1]
    hidden = []
    for each in (pairs, replace(pairs, token=other)):
        with torch.no_grad():
            hidden.append(model(each) - hide_one_out(model, each).token[range(2), last])
    assert torch.allclose(*hidden, atol=1e-5)
    with torch.no_grad():  # the control: in plain sight the word matters
        assert not torch.allclose(model(pairs), model(replace(pairs, token=other)), atol=1e-5)


def test_removal_names_the_planted_terms() -> None:
    model = load(plant("bm25"))
    pairs = model.pair("canoe paddle", "a canoe needs a paddle and a road", "a bus needs a canoe")
    words = leave_one_out(model, pairs).words()
    is_term = words["text"].isin(["canoe", "paddle"])
    matched = is_term & ~((words["pair"] == 1) & (words["text"] == "paddle"))
    value = words["value"].abs()
    assert value[matched].min() > 3 * value[~matched].max()
