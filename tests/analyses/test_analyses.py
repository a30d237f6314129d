"""Every analysis is one command, can be resumed, and its answer on a planted model is the truth."""

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from command_line import crosslens
from crosslens.analyses import faithfulness, fine_tuning, term_frequency
from crosslens.analyses.catalogue import catalogue
from crosslens.analyses.planted_family import CONDITIONS, tasks
from saved import save
from tiny import tiny

from crosslens import Findings, load
from crosslens.planted import plant


PLANTED = "planted:bm25?layers=3&heads=3&decoys=1"
SMALL = "planted:bm25?layers=3&heads=3&decoys=1&busy"


def ask(name: str, model: str | None, out, *more: str):
    """What became of `crosslens analyse NAME MODEL`."""
    given = [name, *([] if model is None else [model]), "--out", out]
    return crosslens("analyse", *given, *more)


def run(name: str, out, *more: str, model: str | None = PLANTED) -> Findings:
    result = ask(name, model, out, *("--pairs", "6"), *more)
    assert result.exit_code == 0, result.output
    return Findings.open(out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Callable[[str], Findings]:
    """A finished run of an analysis, which no test may change."""
    return cache(lambda name: run(name, tmp_path_factory.mktemp(name) / "run"))


def test_every_analysis_is_listed_with_its_question_and_has_a_command():
    listed = crosslens("analyses")
    words = " ".join(listed.stdout.split())
    assert listed.exit_code == 0 and len(catalogue()) >= 8
    for name, analysis in catalogue().items():
        module = importlib.import_module(f"crosslens.analyses.{name}")
        assert name in words and " ".join(analysis.question.split()[-3:]) in words
        assert callable(module.analyse) and module.Answer.__doc__
        assert "main(__spec__.name)" in Path(module.__file__).read_text(), "python -m runs it"
        helped = ask(name, None, "out", "--help")
        assert helped.exit_code == 0 and analysis.question.split()[0] in helped.stdout
        shared = {"--collection", "--out", "--pairs", "--seed", "--resume", "--quiet", "--debug"}
        if analysis.takes_model:
            shared |= {"MODEL", "--device"}
        assert not {option for option in shared if option not in helped.stdout}, name


def test_choices_of_options_are_those_that_the_analysis_knows():
    for module, name, known in (
        (faithfulness, "rest", faithfulness.RESTS),
        (fine_tuning, "loss", fine_tuning.LOSSES),
    ):
        declared, _help = get_args(module.Options.__annotations__[name])
        assert set(get_args(declared)) == set(known)


def test_a_wrong_name_among_the_choices_is_one_line(tmp_path):
    for name, option, model in (
        ("discovery", "--conditions", None),
        ("faithfulness", "--methods", SMALL),
    ):
        result = ask(name, model, tmp_path / name, option, "nonsense")
        assert result.exit_code == 2 and "'nonsense'" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_an_interrupted_analysis_goes_on_where_it_was(tmp_path, monkeypatch, finished):
    whole = finished("term_frequency")
    calls = []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return scores(*given)

    scores = term_frequency.scores
    monkeypatch.setattr(term_frequency, "scores", interrupted)
    cut = ask("term_frequency", PLANTED, tmp_path / "cut", "--pairs", "6")
    assert cut.exit_code == 130, cut.stderr
    assert "--resume" in cut.stderr and "pairs" in cut.stderr
    resumed = run("term_frequency", tmp_path / "cut", "--resume")
    assert len(calls) == 3 + 4, "six parts: two were finished, the third was begun"
    for table in ("pairs", "steps"):
        pd.testing.assert_frame_equal(resumed.read(table), whole.read(table))
    assert len(resumed.meta["commands"]) == 2


def test_an_analysis_resumes_on_the_same_model_texts_and_options_only(tmp_path):
    folder = save(tmp_path / "model", *tiny("bert"))
    few = ("--pairs", "2")
    assert ask("term_frequency", str(folder), tmp_path / "run", *few).exit_code == 0
    resume = ("term_frequency", str(folder), tmp_path / "run", *few, "--resume")
    assert ask(*resume).exit_code == 0
    other = ask(*resume, "--seed", "3")
    assert other.exit_code == 2 and "seed differ" in other.stderr
    model, _ = tiny("bert")
    model.bert.embeddings.word_embeddings.weight.data[5] += 1
    model.save_pretrained(folder)
    other = ask(*resume)
    assert other.exit_code == 2 and "weights differ" in other.stderr


def test_term_frequency_finds_bm25s_saturation_in_the_planted_bm25(finished):
    steps = finished("term_frequency").read("steps")
    gains = steps.pivot(index="occurrences", columns="system", values="gain")
    assert (gains > 0).all().all() and (gains.diff().dropna() < 0).all().all()
    assert gains["score"].corr(gains["bm25"]) > 0.999


def test_patching_finds_the_planted_heads_and_attention_is_fooled_by_decoys(tmp_path):
    findings = run("attention", tmp_path / "run", model="planted:bm25?layers=3&heads=3&decoys=4")
    found = findings.read("rankings").set_index("ranking")["auroc"]
    assert found["recovered"] == 1.0 and found["attention"] < 0.9
    assert findings.config["analysis"] == "attention"


def test_the_benchmark_ranks_all_kinds_by_all_methods_and_draws_it(tmp_path):
    findings = run("discovery", tmp_path / "run", "--quick", "--pairs", "2", model=None)
    answer = findings.read("answer").set_index(["kind", "method"])
    tiny = answer["tiny"]
    assert tiny["heads", "patching"] == tiny["heads", "chain"] == 1
    assert tiny["heads", "attention to matches"] < 1
    assert tiny["neurons", "zero ablation"] == 1 and tiny["neurons", "patching"] < 0.1
    assert tiny["edges", "edge patching"] == 1 and tiny["edges", "EAP"] < 1
    assert (answer["seconds"] > 0).all() and answer["forward_passes"].isna().all()
    models = findings.read("models")
    assert len(models) == len(answer) and models["auroc"].between(0, 1).all()
    assert "attention to matches" in (tmp_path / "run" / "heatmap.html").read_text()


@pytest.mark.parametrize("name", ["tiny", "contextual", "synonyms"])
def test_a_planted_model_has_members_to_find_and_strangers_among_them(name):
    planted = plant(CONDITIONS[name])
    for task in tasks(planted, load(planted)):
        assert 0 < task.is_member.sum() < len(task.parts), task.kind


def test_the_members_of_a_model_with_a_backup():
    planted = plant(CONDITIONS["backup"])
    heads, neurons, edges = tasks(planted, load(planted))
    assert heads.is_member.sum() == 3 and neurons.is_member.sum() == 1
    # words to both matching heads; both to the switch, one to scoring; scoring to the score
    assert edges.is_member.sum() == 6


def test_the_planted_circuit_is_faithful_and_random_parts_are_not(tmp_path):
    methods = ("patching", "activation difference", "EAP-IG", "random")
    chosen = [word for method in methods for word in ("--methods", method)]
    few = ("--pairs", "2", "--queries", "2", "--documents", "4")
    found = run("faithfulness", tmp_path / "run", *few, *chosen, model=SMALL)
    areas = found.read("areas").set_index(["kind", "method"])
    curves = found.read("curves")
    assert {*areas.index} == {*zip(curves["kind"], curves["method"], strict=True)}
    for kind, method in (("heads", "patching"), ("edges", "EAP-IG")):
        assert areas.loc[(kind, method), "cpr"] > areas.loc[(kind, "random"), "cpr"] + 0.2
        assert areas.loc[(kind, method), "cmd"] < areas.loc[(kind, "random"), "cmd"] - 0.2
    rankings = found.read("rankings").set_index(["method", "figure"])["mean"]
    assert rankings["patching", "tau"] > 0.99 > rankings["activation difference", "tau"]


@pytest.mark.parametrize("rest", [name for name in faithfulness.RESTS if name != "base"])
def test_whatever_the_rest_is_the_planted_heads_do_what_the_model_does(rest, tmp_path):
    few = ("--pairs", "2", "--queries", "2", "--documents", "2", "--no-edges", "--rest", rest)
    chosen = ("--methods", "patching", "--methods", "random")
    found = run("faithfulness", tmp_path / "run", *few, *chosen, model=SMALL)
    areas = found.read("areas").set_index("method")
    assert areas.loc["patching", "cmd"] < areas.loc["random", "cmd"] - 0.1


def test_an_analysis_does_not_write_over_another_run(finished):
    folder = finished("attention").folder
    other = ask("attention", PLANTED, folder, "--pairs", "6", "--seed", "1")
    assert other.exit_code == 2 and "--out" in other.stderr


def test_tables_are_read_by_pandas_alone(finished):
    heads = pd.read_parquet(finished("attention").folder / "heads.parquet")
    assert {"unit", "attention", "recovered", "is_member"} <= set(heads.columns)


def test_the_planted_score_is_linear_in_soft_tf_and_idf(tmp_path):
    model, small = "planted:bm25?layers=3&heads=3&decoys=0", ("--queries", "6", "--documents", "5")
    findings = run("linear_bm25", tmp_path / "run", *small, model=model)
    fits = findings.read("fits").set_index(["split", "formula"])["pearson"]
    assert (fits[:, "soft BM25"] > 0.99).all() and (fits[:, "noise"] < 0.5).all()
    assert len(findings.meta["matching"]) == 1  # by patching: the planted head and no other
    formulas = findings.read("formulas").set_index("formula")["written"]
    assert "BM25(k1=" in formulas["BM25, tuned"] and "idf·tf" in formulas["soft BM25"]
    tau = findings.read("rankings").set_index(["formula", "figure"])["mean"]["soft BM25", "tau"]
    assert tau > 0.95
    # the same command goes on where it was: nothing is observed again
    again = run("linear_bm25", tmp_path / "run", "--resume", *small, model=model)
    assert again.read("fits")["pearson"].equals(findings.read("fits")["pearson"])


def test_queries_cut_to_a_length_have_a_column_for_each_place(tmp_path):
    options = ("--queries", "8", "--documents", "6", "--query-tokens", "3")
    fits = run("linear_bm25", tmp_path / "run", *options).read("fits").set_index("formula")
    assert (fits["columns"]["soft BM25"] == 9).all()


def test_the_planted_idf_lies_along_one_direction_and_is_read(tmp_path):
    findings = run("idf_direction", tmp_path / "run")
    directions = findings.read("directions").set_index(["rows", "k"])
    assert directions["spearman"]["centred", 0] > 0.99 > 10 * directions["chance"]["centred", 0]
    response = findings.read("response").set_index("edit")
    assert (
        response["monotone"]["to"] == 1 and (response["monotone"].filter(like="random") < 1).all()
    )


def test_terms_rise_and_fall_with_their_planted_idf(tmp_path):
    few = ("--queries", "5", "--documents", "6", "--scales", "6")
    edits = run("idf_edit", tmp_path / "run", *few).read("edits").set_index("edit")
    change, rise = edits["change_with"], edits["rise_with"]
    assert change["raise IDF x6"] > 0.1 > 0 == change["none"] > -0.1 > change["lower IDF x6"]
    assert edits["change_without"].abs().max() < 1e-3  # nobody else's score
    assert rise["raise IDF x6"] >= 0 == rise["none"] > rise["lower IDF x6"]
    # the control breaks the match, whichever way it points
    assert change["raise row x6"] < -1 and change["lower row x6"] < -1
    # what one does not want is last where its terms count least
    safe = edits["safe"]
    assert safe["lower IDF x6"] > safe["none"] >= safe["raise IDF x6"]


def test_a_list_of_words_is_edited_for_every_query(tmp_path):
    (tmp_path / "words").write_text("water\nheart\n")
    few = ("--queries", "3", "--documents", "4", "--scales", "2")
    findings = run("idf_edit", tmp_path / "run", *few, "--words", str(tmp_path / "words"))
    assert set(findings.read("queries")["terms"]) == {"water heart"}


def test_safe_is_one_for_the_best_order_and_zero_for_the_worst():
    safe = importlib.import_module("crosslens.analyses.idf_edit").safe
    gains = np.array([2.0, 1.0, -10.0])
    assert safe(gains) == 1 and safe(gains[::-1]) == 0 and 0 < safe(gains[[1, 2, 0]]) < 1
    assert np.isnan(safe(np.array([1.0, 1.0])))


def test_tuning_is_selected_on_validation_queries_and_tested_on_others(tmp_path):
    save(tmp_path / "model", *tiny("bert"))
    few = ("--queries", "12", "--documents", "4", "--epochs", "1", "--seeds", "1")
    options, model = (*few, "--rate", "0.001"), str(tmp_path / "model")
    findings = run("fine_tuning", tmp_path / "run", *options, model=model)
    arms = findings.read("arms").set_index("arm")
    assert {"nDCG@10", "RR@10"} <= {*arms}  # by these names, however the judgements are graded
    assert arms["share"]["all parameters"] == 1 > arms["share"]["embeddings"] > 0
    chosen = arms["validation"][["all parameters", "embeddings"]]
    assert (chosen >= arms["validation"]["untuned"]).all()
    assert (arms["epoch"][["untuned", "aligned, untuned"]] == 0).all()
    epochs = findings.read("epochs").set_index(["arm", "epoch"])["validated"]
    assert epochs["all parameters", 0] == arms["validation"]["untuned"]
    again = run("fine_tuning", tmp_path / "run", *options, "--resume", model=model)
    assert again.read("arms").equals(findings.read("arms"))
