"""The catalogue: every claim is whole, holds where it was planted, and nowhere else."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crosslens.circuits import bm25, contextual, embedded, matching, neurons, periods, relevance
from crosslens.circuits.catalogue import CLAIMS, named
from crosslens.circuits.claim import Claim, Known, Verdict
from crosslens.circuits.evidence import Evidence
from crosslens.circuits.examine import as_json, beside_known, examine, judged
from crosslens.circuits.head_figures import mean_over_heads
from tiny import tiny

from crosslens import Axioms, Circuit, collection, Findings, heads, load, plant


@pytest.fixture(scope="module")
def found(evidence) -> dict[str, Verdict]:
    """Every verdict on the planted BM25."""
    return {name: judged(claim, evidence) for name, claim in CLAIMS.items()}


def test_of_a_planted_bm25_everything_holds_but_what_was_not_planted(found):
    holds = {name: verdict.holds for name, verdict in found.items()}
    absent = (contextual.NAME, periods.NAME)
    assert holds == {name: name not in absent for name in CLAIMS}


def test_the_members_are_exactly_the_planted_ones(found, reference):
    truth = reference.circuit.roles
    assert found["matching"].members == truth["matching"]
    assert found["relevance"].members == truth["relevance scoring"]
    assert found["bm25"].members == truth["matching"] | truth["relevance scoring"]
    assert not found["contextual"].members and not found["document-frequency"].members


def test_a_planted_contextual_head_is_found_and_the_claim_holds():
    planted = plant("bm25?seed=2&layers=5&decoys=2&contextual")
    model = load(planted)
    evidence = Evidence(model, Axioms(model, collection().sample(12, 4)), n=5, scored=10)
    verdict = judged(contextual.CLAIM, evidence)
    assert verdict.holds, str(verdict)
    assert verdict.members == planted.circuit.roles[contextual.ROLE]


def test_relevance_neurons_are_parts_of_what_was_planted(found, reference):
    """All that the model does goes through the planted parts and the coordinates they write."""
    members = found["neurons"].members
    inside = {
        *(reference.placement.matching, reference.placement.scoring),
        *reference.placement.decoy_heads,
    }
    read = [unit for unit in members if unit.site.name in ("q", "k", "v")]
    assert members and read
    assert {(u.site.layer, dict(u.coordinates)["head"]) for u in read} <= inside


def test_every_verdict_has_figures_with_controls_and_prints(found):
    for name, verdict in found.items():
        assert verdict.figures and verdict.claim == name
        assert str(verdict).startswith(name)
        if verdict.holds:
            assert any(not np.isnan(each.control) for each in verdict.figures)
        assert set(verdict.frame()["claim"]) == {name}


@pytest.mark.parametrize("seed", range(2))
def test_of_a_model_of_random_weights_no_claim_holds(seed):
    model = load(*tiny("bert", seed))
    evidence = Evidence(model, Axioms(model, collection().sample(12, 6)), n=5, scored=12)
    for claim in CLAIMS.values():
        verdict = judged(claim, evidence)
        assert not verdict.holds and not verdict.members, str(verdict)


def test_what_these_texts_do_not_allow_is_undecided_and_says_why(evidence):
    bare = replace(evidence.collection, qrels=(), types={})
    unjudged = replace(evidence, axioms=replace(evidence.axioms, collection=bare))
    verdict = judged(neurons.CLAIM, unjudged)
    assert verdict.holds is None and "no judgements" in verdict.says
    assert verdict.record()["reason"] == verdict.says


@pytest.mark.parametrize("error", [KeyError("a mistake"), ValueError("shapes differ")])
def test_our_own_mistakes_are_not_verdicts(evidence, error):
    def wrong(_):
        raise error

    with pytest.raises(type(error)):
        judged(replace(matching.CLAIM, detect=wrong), evidence)


def test_a_test_that_could_not_be_made_stands_in_the_table_with_its_reason(evidence):
    """Texts without soft matches, and without sentences to add."""
    poor = copy(evidence)
    poor.__dict__["_levels"] = {k: v for k, v in evidence._levels.items() if k != "STMC1"}
    poor.__dict__["axioms"] = replace(evidence.axioms, synonyms={})
    poor.__dict__["lengthened"] = evidence.lengthened
    verdict = judged(matching.CLAIM, poor)
    row = verdict.frame().set_index("name").loc["T2: rise of MS with one soft match"]
    assert "no pair for STMC1" in row["reason"] and row["n"] == 0
    assert verdict.holds, "a figure that only informs may be missing"


def test_a_verdict_says_on_how_many_pairs_it_rests(found, evidence):
    assert found["matching"].pairs == len(evidence.tfc1) == 8
    assert found["contextual"].pairs > 0 and "on 8 pairs: " in str(found["matching"])


def test_every_claim_says_what_it_is_and_whence():
    for name, claim in CLAIMS.items():
        assert claim.name == name and claim.claim.endswith(".") and claim.test.endswith(".")
        assert "https://" in claim.source
        for known in claim.known.values():
            assert known.source and known.sure


def test_published_members_lie_inside_the_published_checkpoint():
    for claim in (matching.CLAIM, contextual.CLAIM, relevance.CLAIM, bm25.CLAIM):
        for unit in claim.known[bm25.MINILM].members:
            assert unit.site.layer < 12 and dict(unit.coordinates)["head"] < 12


def test_a_claim_goes_by_its_name_and_near_ones_are_proposed():
    assert named("bm25") == [bm25.CLAIM] and named("all") == list(CLAIMS.values())
    with pytest.raises(LookupError, match="did you mean matching"):
        named("matchings")
    with pytest.raises(LookupError, match="known are"):
        named("zzz")


def test_members_stand_beside_the_known_ones():
    members = heads("1.1 2.9")
    claim: Claim = replace(
        matching.CLAIM, known={"x": Known(heads("1.1 2.8 2.9 3.3"), "paper", "sure")}
    )
    found = beside_known(claim, Verdict("matching", "x", True, "", members=members))
    assert [each.value for each in found.figures] == [0.5, 1.0]
    assert beside_known(claim, Verdict("matching", "y", True, "", members=members)).figures == ()


def test_a_circuit_is_written_as_the_lines_of_the_module_that_holds_it():
    circuit = Circuit("c", "m", {"matching": heads("2.9 1.1")}, "traced")
    code = embedded.as_code(circuit, "traced, 12 pairs")
    assert '    "matching": heads("1.1 2.9"),' in code
    assert '"1.z[head=1]"' in as_json(circuit)
    scope: dict = {"heads": heads, "Final": dict, "Mapping": dict, "frozenset": frozenset}
    exec(code.replace(": Final[Mapping[str, frozenset[Unit]]]", "").replace(": Final", ""), scope)
    assert scope["FOUND"] == circuit.roles and scope["SOURCE"] == "traced, 12 pairs"


def test_a_run_keeps_each_verdict_and_is_resumed(tmp_path, evidence):
    calls = []

    def claim(name: str, fails: bool) -> Claim:
        def detect(_: Evidence) -> Verdict:
            calls.append(name)
            if fails and calls.count(name) == 1:
                raise KeyboardInterrupt
            table = pd.DataFrame({"x": [1]})
            return Verdict(name, "m", True, "so", tables={"seen": table})

        return replace(matching.CLAIM, name=name, detect=detect)

    claims = [claim("one", False), claim("two", True)]
    with pytest.raises(KeyboardInterrupt):
        examine(claims, evidence, Findings.create(tmp_path, {}))
    examine(claims, evidence, Findings.create(tmp_path, {}, resume=True))
    assert calls == ["one", "two", "two"]
    kept = Findings.open(tmp_path)
    assert kept.read("claims")["claim"].tolist() == ["one", "two"]
    assert {"one-seen", "two-seen"} <= set(kept.tables())


def test_a_table_that_is_gone_or_damaged_is_made_again(tmp_path, evidence):
    def detect(_: Evidence) -> Verdict:
        calls.append(1)
        tables = {"seen": pd.DataFrame({"x": [1]}), "done": pd.DataFrame({"x": [2]})}
        return Verdict("one", "m", True, "so", tables=tables)

    def judge(folder: Path) -> dict[str, bytes]:
        examine(
            [replace(matching.CLAIM, name="one", detect=detect)],
            evidence,
            Findings.create(folder, {}, resume=True),
        )
        return {each.name: each.read_bytes() for each in folder.glob("*.parquet")}

    calls: list[int] = []
    whole = judge(tmp_path)
    assert judge(tmp_path) == whole and len(calls) == 1
    (tmp_path / "one-seen.parquet").unlink()
    assert judge(tmp_path) == whole and len(calls) == 2
    (tmp_path / "one-done.parquet").write_bytes(whole["one-done.parquet"][:40])
    assert judge(tmp_path) == whole and len(calls) == 3


def test_a_mean_over_heads_skips_those_without_a_value():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    np.testing.assert_array_equal(mean_over_heads(values), [2.0, np.nan])
