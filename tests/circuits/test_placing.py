"""The route of a signal through heads whose reading and writing is known."""

import numpy as np
import pytest
from crosslens.circuits.placing import placed, read_from

from crosslens import Axioms, collection, head, load, plant


def test_planted_heads_stand_where_they_write_and_read_what_they_should():
    planted = plant("bm25?seed=2&layers=5")
    model = load(planted)
    contrast = Axioms(model, collection()).tfc1(8)
    roles = {name: planted.circuit.roles[name] for name in ("matching", "relevance scoring")}
    found = placed(model, contrast, roles).set_index("role")
    assert found["writes"].to_dict() == {"matching": "Q+", "relevance scoring": "[CLS]"}
    assert found["reads"].to_dict() == {"matching": "D_inj", "relevance scoring": "Q+"}
    assert (found["effect"] > 0.99).all() and (found["writes_effect"] > 0.99).all()
    assert found.loc["matching", "name"] == "{}.{}".format(*planted.placement.matching)


def test_in_a_decoder_document_tokens_read_the_query_and_the_last_token_reads_them():
    planted = plant("causal?seed=2&layers=5")
    model = load(planted)
    contrast = Axioms(model, collection()).tfc1(8)
    roles = {name: planted.circuit.roles[name] for name in ("matching", "relevance scoring")}
    found = placed(model, contrast, roles)
    routes = {tuple(route) for route in found[["role", "writes", "reads"]].to_numpy().tolist()}
    assert routes == {
        ("matching", "D_inj", "Q+"),
        ("relevance scoring", "[SEP]2", "D_inj"),
    }
    names = [name for name in contrast.base.roles if name != "[PAD]"]
    heads = [head(*planted.placement.scoring)]
    shares = read_from(model, contrast, heads, ["scored"], names, at_once=3)[0]
    assert shares[names.index("D_inj")] == pytest.approx(1, abs=1e-3)
    nowhere = read_from(model, contrast, heads, ["[CLS]"], names, at_once=3)
    assert np.abs(nowhere).max() < 1e-3  # the first token of a decoder reads nothing of the pair


def test_the_shares_that_a_head_reads_add_up_to_all_it_writes(model):
    contrast = Axioms(model, collection()).tfc1(4)
    names = [name for name in contrast.base.roles if name != "[PAD]"]
    shares = read_from(model, contrast, [head(1, 2)], ["[CLS]"], names, at_once=3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-3)


def test_without_heads_there_is_no_route(model):
    contrast = Axioms(model, collection()).tfc1(2)
    with pytest.raises(ValueError, match="no route"):
        placed(model, contrast, {"nobody": frozenset()})
