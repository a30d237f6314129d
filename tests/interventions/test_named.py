"""Interventions by name: a line prints as it is written, and does what its function does."""

import random

import pytest
import torch

from crosslens import ablate, attention_mask, head, Site, token_mask, tokenize
from crosslens.idf import idf_direction, TokenIdf
from crosslens.interventions import (
    Ablate,
    edit_words,
    EditWords,
    Mask,
    named,
    named_in,
    Noise,
    scale_rows,
)
from crosslens.interventions.word_edits import places


LINES = [
    "ablate 2.1 1.0",
    "ablate 1.mlp 0.attn[pos=query|cls] to -0.5",
    "ablate 1.z[head=-1] 1.mlp_post[neuron=5] embed",
    "noise 2.resid_post keep 0.5 mean 1e-07 std 0.2 seed 3",
    "mask document->query",
    "mask document->query from layer 1",
    "mask query->document|sep2 to layer 1",
    "drop query|cls->all from layer 0 to layer 1",
    "drop all->cls in 2.1 1.1",
    "mask query->document in layer 2",
    "scale idf of 'canoe' by 3",
    "set idf of 'canoe' \"don't\" to 9.5 in document",
    "scale embedding of 'by' by 0.1",
]


@pytest.mark.parametrize("line", LINES)
def test_a_name_prints_as_it_is_written(line):
    assert str(named(line)) == line


def test_shorter_and_longer_ways_to_write_the_same_are_one_value():
    assert named("mask document→query  from layer 3") == named("mask document->query from layer 3")
    assert named("ablate 2.z[head=9] 3.mlp_out") == named("ablate 2.9 3.mlp")
    assert named("scale idf of canoe by 3.0 in all") == named('scale idf of "canoe" by 3')
    assert str(named("drop cls->all from layer 2 to layer 2")) == "drop cls->all in layer 2"


def drawn(chance: random.Random):
    """A random intervention of any kind."""
    number = chance.choice([0.0, 1.0, -2.5, 1 / 3, 1e-300, 12345678.9, 3.0])
    names = chance.choice(["query", "document|sep2", "cls", "all"])
    units = chance.sample(
        [
            head(chance.randrange(12), chance.randrange(12)),
            Site("mlp_out", 3).at(),
            Site("mlp_out", 3).at(pos="query"),
            Site("z", 11).at(head=2, pos="cls|query"),
            Site("z", 11).at(head=-2),
            Site("pattern", 0).at(dst="document", src="query", head=1),
            Site("full_embed").at(),
            Site("logits").at(),
        ],
        chance.randint(1, 4),
    )
    first, last = sorted(chance.choices(range(9), k=2))
    layers = chance.choice([{}, {"first": first}, {"last": last}, {"first": first, "last": last}])
    heads = {"heads": tuple({head(chance.randrange(9), 1): 0 for _ in range(3)})}
    word = "".join(chance.choices("abc'\"\\ é->語\n\t|by", k=5)) + "x"
    pos = names.replace("all", "")
    return chance.choice(
        [
            Ablate(tuple(units), number),
            Noise(tuple(units), abs(number) % 1, number, abs(number), chance.randrange(9)),
            Mask(names, "document", **chance.choice([layers, heads]), lost=chance.random() < 0.5),
            EditWords("scale", "idf", (word, "by"), number, pos),
            EditWords("set", "idf", ("in",), number, pos),
            EditWords("scale", "embedding", (word,), number, pos),
        ]
    )


def test_every_value_is_parsed_back_from_what_it_prints():
    chance = random.Random(0)
    for _ in range(600):
        value = drawn(chance)
        assert named(str(value)) == value, str(value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ablte 2.9", "none begins with 'ablte'; did you mean ablate"),
        ("", "none begins with ''; known are ablate, noise"),
        ("ablate", "a unit is missing; it is written ablate UNIT"),
        ("ablate 3.mpl", "no site is called 'mpl'; did you mean mlp"),
        ("ablate z", "'z' needs a layer"),
        ("ablate 3.embed", "stands outside the blocks"),
        ("ablate 2.9 2.9", "2.9 is named twice"),
        ("ablate 2.9 to", "the line ends where a number was expected"),
        ("ablate 2.9 to nan", "found 'nan' where a finite number was expected"),
        ("ablate 2.9 to 3 4", "'4' is too much"),
        ("ablate ?", "is no unit"),
        ("ablate 2.z[head=1,head=2]", "expected each axis once"),
        ("ablate 2.z[head]", "expected each axis once"),
        ("ablate 2.z[pos=all]", "all tokens are meant where an axis is not named"),
        ("ablate 2.z[neuron=3]", "has no axis 'neuron'"),
        ("ablate 2.resid_post[pos=Q+]", "no tokens are called 'Q\\+'"),
        ("mask documnt->query", "no tokens are called 'documnt'; did you mean document"),
        ("mask pad->query", "no tokens are called 'pad'"),
        ("mask document query", "where TOKENS->TOKENS was expected"),
        ("mask query->document from layer 3 to layer 2", "from 3 to 2 are none"),
        ("mask query->document from layer three", "found 'three' where a whole number"),
        ("mask query->document in 3.mlp", "3.mlp is no head"),
        ("mask query->document in", "a unit is missing"),
        ("noise 2.9", "the line ends where keep was expected"),
        ("noise 2.9 keep 3", "expected a share between 0 and 1"),
        ("noise 2.9 keep 1 std -1", "a standard deviation of at least 0"),
        ("scale ifd of 'x' by 3", "'ifd' is not known; did you mean idf"),
        ("scale idf of 'canoe", "is not closed"),
        ("scale idf of '' by 2", "a word is missing"),
        ("scale idf of '!' by 2", "a word is missing"),
        ("scale idf of 'x' to 2", "the line ends where by was expected"),
        ("set embedding of 'x' to 2", "'embedding' is not known"),
    ],
)
def test_what_is_no_intervention_is_refused_with_what_was_expected(line, said):
    with pytest.raises(ValueError, match=said) as error:
        named(line)
    assert repr(line) in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ablate 9.1", "9.1 is outside the model, which has layers 0 to 2"),
        ("ablate 1.9", "1.9 is outside the model: head has 4"),
        ("ablate final_norm", "has no 'final_norm'; its sites are"),
        ("mask query->document from layer 3", "layer 3 is outside the model"),
        ("drop query->document in 1.7", "1.7 is outside the model"),
    ],
)
def test_what_the_model_does_not_have_is_an_error_before_it_runs(model, line, said):
    with pytest.raises(LookupError, match=said):
        named(line).hooks(model)


def test_hooks_are_those_of_the_functions(model, pairs, under):
    layers = range(1, 3)
    same = {
        "ablate 2.1 1.mlp": [ablate(head(2, 1)), ablate(Site("mlp_out", 1).at())],
        "ablate 2.1 to 0.5": [ablate(head(2, 1), 0.5)],
        "mask document->query from layer 1": [
            token_mask(i, dst="query", src="document") for i in layers
        ],
        "drop query->cls|document in 2.1": [
            attention_mask(2, dst=("cls", "document"), src="query", head=1)
        ],
    }
    plain = under(model, pairs)
    for line, hooks in same.items():
        found = under(model, pairs, *named(line).hooks(model))
        assert torch.equal(found, under(model, pairs, *hooks)), line
        assert not torch.allclose(found, plain), line
    assert torch.equal(under(model, pairs, *named("noise 1.mlp keep 1").hooks(model)), plain)


def test_noise_is_the_same_whenever_its_hooks_are_made(model, pairs, under):
    line = named("noise 1.mlp keep 0.5 seed 4")
    first, again = (under(model, pairs, *line.hooks(model)) for _ in range(2))
    assert torch.equal(first, again)
    other = under(model, pairs, *named("noise 1.mlp keep 0.5 seed 5").hooks(model))
    assert not torch.allclose(first, other)


def test_a_word_is_edited_where_it_stands_whole_and_nowhere_else(model):
    """The word "cats" is one piece, "catscan" begins with its letters, "engine" is in one text."""
    pairs = model.pair("cats purr", "Cats, and a catscan", "the engine")
    with model.record("embed") as plain:
        model(pairs)
    hook = edit_words(["cats"], lambda token: scale_rows(token, 0.0))
    with model.hooked(hook), model.record("embed") as edited:
        model(pairs)
    embed = Site("embed")
    moved = (plain[embed] != edited[embed]).any(dim=-1)
    for i in range(2):
        words = pairs.words(i)
        changed = [words[t] for t in moved[i].nonzero().flatten().tolist()]
        assert changed == ["cats", "Cats"][: 2 - i]
    within = edit_words(["cats"], lambda token: scale_rows(token, 0.0), pos="document")
    with model.hooked(within), model.record("embed") as edited:
        model(pairs)
    moved = (plain[embed] != edited[embed]).any(dim=-1)
    assert moved.sum() == 1 and pairs.where("document")[moved].all()


def test_words_are_found_however_they_are_encoded_and_names_of_several_words_too():
    texts = ["Cafe\u0301 au lait", "the café, the CAFÉS", "don't, don t, dont", "new york; york"]
    spans = {
        "café": ["Cafe\u0301", "café"],
        "cafe\u0301": ["Cafe\u0301", "café"],
        "don't": ["don't", "don t"],
        "New York": ["new york"],
    }
    for word, expected in spans.items():
        found = [t[a:b] for t in texts for a, b in places(t, [tokenize(word)])]
        assert found == expected
    with pytest.raises(ValueError, match="'!' is no word"):
        edit_words(["!"], lambda token: scale_rows(token, 0.0))


def test_a_word_of_several_pieces_is_edited_in_all_of_them(model):
    pairs = model.pair("zebra", "a zebra , a zeb")
    hook = edit_words(["zebra"], lambda token: scale_rows(token, 0.0), pos="document")
    with model.hooked(hook), model.record("embed") as edited:
        model(pairs)
    gone = (edited[Site("embed")] == 0).all(dim=-1)
    assert [pairs.words(0)[t] for t in gone[0].nonzero().flatten()] == ["zebra"] * 5


def test_idf_is_edited_along_the_direction_that_is_given(model, pairs, under):
    tokenizer = model.tokens.tokenizer
    words = [word for word in tokenizer.get_vocab() if word.isalpha()]
    texts = [" ".join(words[: 2 * i + 1]) for i in range(len(words) // 2)]
    direction = idf_direction(model.W_E, TokenIdf.of_documents(tokenizer, texts))
    [cats] = tokenizer("cats", add_special_tokens=False).input_ids
    plain = under(model, pairs)
    for line, theirs in (
        ("scale idf of 'cats' by 5", direction.scaled([cats], 5.0)),
        ("set idf of 'cats' to 30", direction.to([cats], 30.0)),
    ):
        ours = under(model, pairs, *named(line).hooks(model, lambda: direction))
        assert torch.allclose(ours, under(model, pairs, theirs)), line
        assert not torch.allclose(ours, plain), line
    with pytest.raises(ValueError, match="needs the model's IDF direction"):
        named("scale idf of 'cats' by 5").hooks(model)


def test_a_file_lists_interventions(tmp_path):
    path = tmp_path / "edits.yaml"
    path.write_text("- ablate 2.1\n- \"scale idf of 'canoe' by 3\"\n")
    assert named_in(path) == (named("ablate 2.1"), named("scale idf of 'canoe' by 3"))
    for text, said in [
        ("ablate: 2.1", "expected a list"),
        ("- 3", "expected a list"),
        ("- [", "is not YAML"),
        ("- ablte 2.1", "did you mean ablate"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=said) as error:
            named_in(path)
        assert str(path) in str(error.value)
