"""Sites and units print as they are written, and refuse what does not exist."""

import pytest

from crosslens import head, heads, neuron, Site, units_at
from crosslens.sites import KINDS


def test_units_print_as_they_are_written():
    assert str(Site("z", 3)) == "3.z"
    assert str(Site("logits")) == "logits"
    assert str(head(3, 7)) == "3.z[head=7]"
    assert str(neuron(2, 5)) == "2.mlp_post[neuron=5]"
    assert str(Site("pattern", 2).at(src="query", dst="cls")) == "2.pattern[dst=cls,src=query]"
    assert str(Site("z", 3).at(pos=("query", "sep1"))) == "3.z[pos=query|sep1]"


def test_a_hook_name_and_its_site_are_two_names_for_one_thing():
    for name, kind in KINDS.items():
        site = Site(name, 4 if "{}" in kind.hook else None)
        assert Site.of(site.hook) == site
        assert site.axes == kind.axes
    assert Site("z", 3).hook == "blocks.3.attn.hook_z"
    assert len({kind.hook for kind in KINDS.values()}) == len(KINDS)


def test_sites_sort_by_when_they_are_computed():
    order = [
        Site("embed"),
        Site("full_embed"),
        Site("resid_pre", 0),
        Site("z", 0),
        Site("resid_post", 0),
        Site("q", 1),
        Site("final_norm"),
        Site("logits"),
    ]
    assert sorted(reversed(order), key=lambda site: site.depth) == order


def test_an_index_takes_the_numbered_part_out():
    unit = Site("z", 3).at(head=7, pos="query")
    assert unit.index == (slice(None), slice(None), 7, slice(None))
    assert unit.left == ("pair", "pos", "d_head")
    assert unit.named == {"pos": "query"}


def test_heads_as_papers_write_them():
    assert heads("1.7 10.1") == {head(1, 7), head(10, 1)}
    with pytest.raises(ValueError, match=r"layer.head.*found \['7', 'a.b'\]"):
        heads("1.7 7 a.b")


def test_each_is_every_site_at_every_coordinate():
    units = units_at([Site("z", 0), Site("z", 1)], "head", iter(range(3)))
    assert units == [head(layer, i) for layer in range(2) for i in range(3)]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Site("patern", 1).hook, LookupError, "called 'patern'; did you mean pattern"),
        (lambda: Site("z").hook, LookupError, "'z' needs a layer"),
        (lambda: Site("embed", 1).hook, LookupError, "'embed' stands outside the blocks"),
        (lambda: Site.of("blocks.1.hook_zz"), LookupError, "no site has the hook name"),
        (lambda: Site("z", 1).at(neuron=3), ValueError, "1.z has no axis 'neuron'; its axes"),
        (lambda: Site("z", 1).at(head="query"), ValueError, "only pos, dst and src take the name"),
        (lambda: Site("z", 1).at(pair=0), ValueError, "the same part of every pair"),
    ],
)
def test_what_does_not_exist_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
