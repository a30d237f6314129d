"""A recipe and its name say the same."""

import pytest

from crosslens.planted import Recipe


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(seed=3, layers=6, heads=4, decoys=5),
        Recipe(backup=True, synonyms=(("car", "automobile"), ("doctor", "physician", "medic"))),
        Recipe(contextual=True, matchers=3, suppressor=True, talkers=4, busy=True),
        Recipe(normalised=True, k1=0.9, b=0.4, neurons=3, fakes=0),
    ],
    ids=str,
)
def test_a_name_gives_back_its_recipe(recipe):
    assert Recipe.named(str(recipe)) == recipe
    assert Recipe.named(str(recipe).removeprefix("planted:")) == recipe


def test_names_are_short():
    assert str(Recipe()) == "planted:bm25"
    assert str(Recipe(seed=3, backup=True)) == "planted:bm25?seed=3&backup=1"
    assert Recipe.named("bm25?backup") == Recipe(backup=True)


@pytest.mark.parametrize(
    "name, message",
    [
        ("planted:tfidf", "no planted model is called 'planted:tfidf'"),
        ("bm25?layer=3", "no option 'layer'; did you mean layers"),
        ("bm25?seed=1&seed=2", "'seed' twice"),
        ("bm25?seed=one", "seed='one'; it is a number"),
        ("bm25?backup=maybe", "backup='maybe'; it is 1 or 0"),
        ("bm25?layers=2", "layers=2; it is at least 3"),
        ("bm25?k1=0", "k1=0.0; a planted k1 is above 0"),
        ("bm25?b=1", "b=1.0; a planted b is at least 0 and below 1"),
        ("bm25?synonyms=car", "clusters of two or more words"),
        ("bm25?synonyms=car+auto,auto+vehicle", r"with \['auto'\] twice"),
    ],
)
def test_what_a_name_cannot_say(name, message):
    with pytest.raises(ValueError, match=message):
        Recipe.named(name)
