"""A causal recipe and its name say the same."""

import pytest

from crosslens import plant
from crosslens.planted import CausalRecipe


@pytest.mark.parametrize(
    "recipe",
    [
        CausalRecipe(),
        CausalRecipe(seed=3, layers=6, heads=3, neurons=4, decoys=5, fakes=0),
        CausalRecipe(talkers=4, busy=True, k1=2.5),
        CausalRecipe(synonyms=(("car", "automobile"), ("doctor", "physician", "medic"))),
    ],
    ids=str,
)
def test_a_name_gives_back_its_recipe(recipe):
    assert CausalRecipe.named(str(recipe)) == recipe
    assert CausalRecipe.named(str(recipe).removeprefix("planted:")) == recipe


def test_a_name_says_of_which_kind_it_is():
    assert str(CausalRecipe(seed=3)) == "planted:causal?seed=3"
    assert plant("planted:causal?layers=3").recipe == CausalRecipe(layers=3)


@pytest.mark.parametrize(
    "name, message",
    [
        ("planted:bm25", "no planted model is called 'planted:bm25'; there is planted:causal"),
        ("causal?layer=3", "no option 'layer'; did you mean layers"),
        ("causal?b=0.75", "no option 'b'"),
        ("causal?layers=2", "layers=2; it is at least 3"),
        ("causal?k1=1", "k1=1.0; of a planted causal model it is above 1"),
        ("causal?synonyms=car", "clusters of two or more words"),
    ],
)
def test_what_a_name_cannot_say(name, message):
    with pytest.raises(ValueError, match=message):
        CausalRecipe.named(name)


def test_a_kind_that_is_not_known():
    with pytest.raises(ValueError, match="there are planted:bm25 and planted:causal"):
        plant("planted:tfidf")
