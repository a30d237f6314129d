"""The measurements of a report: what is planted is found, what is not is not said."""

from dataclasses import replace
from importlib import import_module
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.evidence import Evidence
from crosslens.circuits.examine import judged
from crosslens.circuits.thresholds import SCORED
from tiny import tiny

from crosslens import Findings, load, NotMeasurable
from crosslens.planted import plant
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import page
from crosslens.report.question import CONTROL, Question
from crosslens.report.ranks import rank
from crosslens.report.signals import possible
from crosslens.report.summary import claimed
from crosslens.report.terminal import compared, reacting, unmeasured
from crosslens.report.units import ROLES


def test_the_heads_that_may_be_named_are_the_planted_ones(finished):
    units = finished.read("units")
    heads = units[claimed(units) & (units["site"] == "z") & (units["signal"] == "TFC1")]
    truth = {str(unit) for unit in plant("bm25").circuit.units if unit.site.name == "z"}
    assert truth and set(heads["unit"]) == truth


def test_a_planted_bm25_reacts_to_exact_matches_and_to_nothing_else(finished):
    reactions = finished.read("reactions").set_index("signal")
    assert reactions["reacts"].to_dict() == {
        "TFC1": True,
        "STMC1": False,
        "TFC2": True,
        CONTROL: False,
    }
    assert reactions.loc[CONTROL, "change"] == pytest.approx(0, abs=1e-3)


def test_of_a_model_of_random_weights_nothing_is_claimed(tmp_path, few):
    """The control of every claim: such a model, too, has units that restore everything."""
    model = load(*tiny("bert", 1))
    asked = Question("random", "few", pairs=5, scored=10, signals=("TFC1",))
    findings = Findings.create(tmp_path, asked.config, provenance=provenance(few, model=model))
    measure(asked, model, few, findings)
    units = findings.read("units")
    assert (units["mean"] > 0.9).any(), "there is something that a careless reader would name"
    statements = findings.read("statements")
    assert (statements["layer"] == -1).all()
    assert not statements["text"].str.contains("stand|restores|carries").any()
    claims = findings.read("claims")
    assert len(claims) == len(CLAIMS) and not claims["holds"].fillna(False).any()
    assert (claims["members"] == "").all()
    assert "circuit_nodes" not in findings.tables() and findings.meta["no_circuit"]
    assert "No circuit is drawn" in page(findings) and 'class="circuit"' not in page(findings)


def test_the_circuit_of_a_planted_model_is_drawn_where_it_was_planted(finished):
    claims = finished.read("claims").set_index("claim")["holds"]
    assert claims["matching"] and claims["relevance"] and not claims["contextual"]
    nodes = finished.read("circuit_nodes")
    truth = {str(unit) for unit in plant("bm25").circuit.units if unit.site.name == "z"}
    assert set(nodes["unit"]) == truth and set(nodes["writes"]) == {"Q+", "[CLS]"}
    edges = finished.read("circuit_edges")
    assert edges["effect"].to_numpy() == pytest.approx(1, abs=1e-3) and len(edges) == 2
    assert set(edges["sender"]) == truth and "score" in set(edges["receiver"])


def test_patching_a_pair_from_itself_changes_nothing(finished):
    null = finished.read("null")
    assert len(null) == len(finished.read("units").query("signal == 'TFC1'"))
    assert null["change"].abs().max() < 1e-4 * null["score"].abs().max()


def test_there_is_a_row_for_every_pair_and_unit_never_only_a_mean(finished, planted):
    effects, meta = finished.read("effects"), finished.meta
    cfg = planted.cfg
    n_units = cfg.n_layers * (3 * len(ROLES) + cfg.n_heads)
    assert len(effects) == n_units * sum(meta["patched"].values())
    assert meta["patched"]["TFC1"] == 5 and meta["patched"]["STMC1"] == 0
    assert not effects.duplicated(["signal", "pair", "unit"]).any()
    means = effects.groupby(["signal", "unit"])["recovered"].mean()
    units = finished.read("units").set_index(["signal", "unit"])["mean"]
    pd.testing.assert_series_equal(
        means.sort_index(), units.sort_index(), check_names=False, atol=1e-5, check_dtype=False
    )


def test_saturation_shows_in_the_levels(finished):
    levels = finished.read("levels").set_index(["signal", "level"])["change"]["TFC2"]
    gains = np.diff([0, *levels])
    assert len(gains) == 5 and (gains > 0).all() and (np.diff(gains) < 0).all()


def test_an_interrupted_run_resumes_and_ends_the_same(
    tmp_path, finished, planted, few, question, monkeypatch
):
    import crosslens.report.units as module

    plain, calls, question = module.patching, [], replace(question, circuit=False)

    def interrupted(*args, **options):
        calls.append(len(calls))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*args, **options)

    def begun(**options) -> Findings:
        return Findings.create(
            tmp_path, question.config, provenance=provenance(few, model=planted), **options
        )

    monkeypatch.setattr(module, "patching", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(question, planted, few, begun())
    kept = Findings.open(tmp_path)
    assert len(kept.read("ranking")) == few.n_pairs  # readable
    assert kept.finished("effects") == ["TFC1-0"]

    before = len(calls)
    measure(question, planted, few, begun(resume=True))
    chunks = len(finished.finished("effects"))
    assert len(calls) - before == chunks - 1, "what was finished is not computed again"
    for table in Findings.open(tmp_path).tables():
        pd.testing.assert_frame_equal(Findings.open(tmp_path).read(table), finished.read(table))


def test_a_report_goes_on_without_what_cannot_be_had_and_says_so(poor):
    findings, _ = poor
    (name,) = findings.meta["unreadable"]
    assert name.startswith("document ") and len(findings.read("ranking")) == 23
    comparison = findings.read("comparison")
    assert (comparison["n"] == 1).all() and comparison["p"].isna().all()
    assert (comparison["difference"] == comparison["model"] - comparison["bm25"]).all()
    html = page(findings)
    assert f"{name} holds no token" in html and "one query, no interval" in html
    assert "a paired test needs two pairs" in html
    assert all(table is not None for table in (compared(findings), reacting(findings)))


def test_without_the_circuit_there_is_no_section(poor):
    findings, _ = poor
    assert "claims" not in findings.tables() and 'id="circuit"' not in page(findings)


def test_every_step_reports_to_its_end(poor):
    _, seen = poor
    assert list(seen)[:3] == ["Ranking", "Scoring contrasts", "Patching"]
    for steps in seen.values():
        assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]


def test_without_judgements_there_is_a_ranking_and_no_comparison(tmp_path, planted, few):
    bare = replace(few.sample(2, 2), qrels=(), types={})
    findings = Findings.create(tmp_path, {})
    rank(Question("p", "c"), planted, bare, findings, lambda step, done, total: None)
    assert findings.tables() == ["ranking"] and findings.read("ranking")["label"].isna().all()
    assert findings.meta["not_compared"] == "no query that was ranked is judged"


def test_without_a_candidate_there_is_nothing_to_report(tmp_path, planted, few):
    none = replace(few, candidates={}, pool="BM25 top 100")
    with pytest.raises(NotMeasurable, match="has a candidate document to rank"):
        measure(Question("p", "c"), planted, none, Findings.create(tmp_path, {}))


def test_a_report_without_any_contrast_is_a_ranking_and_the_reasons(tmp_path, planted, few):
    """Queries of one letter have no term that a contrast could repeat."""
    bare = replace(few.sample(6, 3), queries={qid: "a" for qid in few.sample(6, 3).queries})
    asked = Question("p", "c", pairs=2, scored=5, signals=("TFC1",))
    findings = Findings.create(tmp_path, asked.config, provenance=provenance(bare, model=planted))
    measure(asked, planted, bare, findings)
    assert set(findings.meta["impossible"]) == {"TFC1", CONTROL}
    assert "reactions" not in findings.tables() and reacting(findings) is None
    claims = findings.read("claims")
    assert claims["holds"].isna().all() or not claims["holds"].fillna(False).any()
    assert claims.set_index("claim").loc["matching", "reason"].startswith("no pair for TFC1")
    html = page(findings)
    assert "No contrast could be built" in html and "no pair for TFC1" in html
    assert len(unmeasured(findings)) == 2


def test_report_and_circuits_test_come_to_the_same_verdict(finished, planted, few, question):
    """The same model, texts, seed and number of pairs, and nothing measured before."""
    fresh = Evidence.of(
        planted, few, question.pairs, seed=question.seed, tokens=question.tokens, scored=10
    )
    rows = finished.read("claims").set_index("claim")
    for name in ("matching", "contextual"):
        again = judged(CLAIMS[name], fresh).record()
        assert rows.loc[name, "pairs"] == again["pairs"] == len(fresh.tfc1)
        assert rows.loc[name, "says"] == again["says"] and rows.loc[name, "holds"] == again["holds"]
        assert rows.loc[name, "members"] == again["members"]


def test_both_commands_ask_for_the_same_by_default():
    command = import_module("crosslens.cli.circuits")  # the package has a Typer by this name
    options = signature(command.test).parameters
    asked = Question("m", "c")
    for name in ("pairs", "tokens", "seed"):
        assert options[name].default == getattr(asked, name), name
    assert asked.scored == SCORED


def test_a_signal_that_no_pair_allows_is_said_not_hidden(tmp_path, planted, few):
    one = replace(
        few,
        queries={key: "trireme" for key in few.queries},  # one term: nothing rare against common
    )
    asked = Question("p", "c", pairs=2, scored=5, signals=("TDC",), circuit=False)
    findings = Findings.create(tmp_path, asked.config)
    evidence = Evidence.of(planted, one, 2, scored=5)
    assert "TDC" not in possible(asked, evidence, findings)
    assert "no pair for TDC" in findings.meta["impossible"]["TDC"]


def test_pairs_of_contrasts_are_no_longer_than_asked(finished, question):
    pairs = finished.read("pairs")
    assert (pairs.loc[pairs["signal"] == "TFC1", "tokens"] <= question.tokens).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pairs": 1}, "--pairs is 1; a report needs at least 2"),
        ({"tokens": 3}, "--tokens is 3"),
        ({"signals": ("TFC9",)}, "no contrast is called 'TFC9'; known are TFC1"),
    ],
)
def test_an_impossible_question_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        Question("m", "c", **changes)


def test_the_control_is_always_measured():
    assert Question("m", "c", signals=("TFC1",)).signals == ("TFC1", CONTROL)
