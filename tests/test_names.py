"""Tokens by several names, and edits that look at the tokens."""

import pytest
import torch

from crosslens import CrossEncoder, Hook, Pairs, Site, Unit


def test_several_names_mean_the_tokens_with_any_of_them(pairs: Pairs) -> None:
    unit = Site("pattern", 1).at(dst=("document", "sep2"), src="query")
    assert str(unit) == "1.pattern[dst=document|sep2,src=query]"
    assert unit == Site("pattern", 1).at(dst="document|sep2", src="query")
    assert (pairs.where("document|sep2") == pairs.where("document", "sep2")).all()
    assert pairs.where("document|sep2").sum() > pairs.where("document").sum()


def test_a_plus_ends_the_name_of_a_role_and_joins_nothing(pairs: Pairs) -> None:
    marked = pairs.with_roles((pairs.token % 2).long(), ("Q-", "Q+"))
    assert (marked.where(*["Q+"]) == (pairs.token % 2 == 1)).all()
    assert marked.where("Q+|Q-").all()
    with pytest.raises(ValueError, match="joins names"):
        pairs.with_roles((pairs.token % 2).long(), ("Q|A", "Q+"))
    with pytest.raises(LookupError, match="no token is called 'quarry'; did you mean query"):
        pairs.where("sep1|quarry")


def test_an_edit_that_sees_the_pairs_gets_those_that_run(model: CrossEncoder, pairs: Pairs) -> None:
    seen = []

    def look(carried: torch.Tensor, running: Pairs) -> torch.Tensor:
        seen.append(running)
        return carried

    with model.hooked(Hook(Unit(Site("resid_pre", 1)), look, sees_pairs=True)):
        model(pairs)
    assert [running.query for running in seen] == [pairs.query]
    assert (seen[0].token == pairs.token).all()
