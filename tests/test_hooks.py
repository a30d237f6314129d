"""A hook edits its unit and nothing else; a cache says what it holds."""

import pytest
import torch

from crosslens import Cache, head, Hook, Site
from crosslens.hooks import sites_of


def activation(pairs) -> torch.Tensor:
    return torch.randn(*pairs.token.shape, 4, 6, generator=torch.Generator().manual_seed(0))


def test_only_the_unit_is_edited_and_the_original_never(pairs):
    z = activation(pairs)
    before = z.clone()
    edited = Hook(head(1, 2), torch.zeros_like)(z, pairs)
    assert torch.equal(z, before)
    assert edited[:, :, 2].abs().max() == 0
    kept = [0, 1, 3]
    assert torch.equal(edited[:, :, kept], z[:, :, kept])


def test_named_tokens_are_edited_pair_by_pair(pairs):
    z = activation(pairs)
    edited = Hook(Site("z", 1).at(head=2, pos="document"), torch.zeros_like)(z, pairs)
    changed = (edited != z).any(dim=-1)
    there = pairs.where("document")
    assert torch.equal(changed[:, :, 2], there)
    assert not changed[:, :, [0, 1, 3]].any()


def test_an_edit_may_see_the_pairs(pairs):
    z = activation(pairs)
    seen = []

    def edit(x, of):
        seen.append(of)
        return x

    Hook(head(1, 2), edit, sees_pairs=True)(z, pairs)
    assert seen == [pairs]


def test_an_edit_that_keeps_everything_changes_nothing(pairs):
    z = activation(pairs)
    assert torch.equal(Hook(Site("z", 1).at(pos="query"), lambda x: x)(z, pairs), z)


def test_gradients_pass_through_an_edit(pairs):
    z = activation(pairs).requires_grad_()
    Hook(head(1, 2), lambda x: 3 * x)(z, pairs).sum().backward()
    assert z.grad is not None
    assert z.grad[:, :, 2].unique().tolist() == [3] and z.grad[:, :, 1].unique().tolist() == [1]


def test_an_edit_of_another_shape_is_refused(pairs):
    hook = Hook(head(1, 2), lambda x: x[:1])
    with pytest.raises(ValueError, match=r"1.z\[head=2\] carries .* but its hook gave \(1,"):
        hook(activation(pairs), pairs)


@pytest.mark.parametrize("index", [4, -5])
def test_a_coordinate_that_does_not_exist_is_refused(pairs, index):
    with pytest.raises(LookupError, match="is outside the model: head has 4"):
        Hook(head(1, index), torch.zeros_like)(activation(pairs), pairs)


def test_a_cache_answers_by_site_and_by_unit():
    z = torch.arange(24.0).reshape(1, 2, 3, 4)
    cache = Cache({Site("z", 0): z, Site("z", 1): z + 1})
    assert cache[Site("z", 0)] is z  # the graph's own tensor
    assert torch.equal(cache[head(1, 2)], z[:, :, 2] + 1)
    assert list(cache) == [Site("z", 0), Site("z", 1)] and len(cache) == 2
    assert Site("z", 1) in cache and head(0, 1) in cache and Site("q", 0) not in cache
    assert cache.get(Site("q", 0)) is None
    assert torch.equal(cache.layers("z"), torch.stack([z, z + 1]))


def test_a_cache_says_what_it_holds_instead():
    cache = Cache({Site("z", 0): torch.zeros(1)})
    for ask in (lambda: cache[Site("z", 1)], lambda: cache[head(1, 0)]):
        with pytest.raises(LookupError, match="^1.z was not recorded; this cache holds 0.z$"):
            ask()
    with pytest.raises(LookupError, match="pattern was not recorded; this cache holds 0.z"):
        cache.layers("pattern")
    with pytest.raises(LookupError, match="holds nothing"):
        Cache()[Site("z", 0)]


def test_hooks_name_their_sites_in_order_and_once():
    hooks = [
        Hook(unit, torch.zeros_like)
        for unit in (Site("logits").at(), head(2, 0), head(0, 1), head(0, 2), Site("embed").at())
    ]
    assert sites_of(hooks) == [Site("embed"), Site("z", 0), Site("z", 2), Site("logits")]
