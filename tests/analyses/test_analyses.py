"""Every analysis runs from its command line, and its answer on a planted model is the truth."""

import importlib

import pandas as pd
import pytest
from crosslens.analyses import faithfulness
from crosslens.analyses.__main__ import main, questions
from crosslens.analyses.planted_family import CONDITIONS, tasks

from crosslens import Axioms, collection, Findings, Graph, load, methods_for, plant


def run(name: str, out, *more: str) -> Findings:
    module = importlib.import_module(f"crosslens.analyses.{name}")
    module.main(["--out", str(out), "--pairs", "6", *more])
    return Findings.open(out)


def test_every_analysis_asks_a_question_and_has_a_trace_and_a_main(capsys):
    main()
    listed = capsys.readouterr().out
    assert len(questions()) >= 2
    for name, question in questions().items():
        module = importlib.import_module(f"crosslens.analyses.{name}")
        assert question in listed and callable(module.trace) and callable(module.main)


def test_term_frequency_finds_bm25s_saturation_in_the_planted_bm25(tmp_path):
    steps = run("term_frequency", tmp_path / "run").read("steps")
    gains = steps.pivot(index="occurrences", columns="system", values="gain")
    assert (gains > 0).all().all() and (gains.diff().dropna() < 0).all().all()
    assert gains["score"].corr(gains["bm25"]) > 0.999


def test_patching_finds_the_planted_heads_and_attention_is_fooled_by_decoys(tmp_path, capsys):
    findings = run("attention", tmp_path / "run", "--model", "planted:bm25?decoys=4")
    found = findings.read("rankings").set_index("ranking")["auroc"]
    assert found["recovered"] == 1.0 and found["attention"] < 0.9
    assert "All tables" in capsys.readouterr().out


def test_the_benchmark_ranks_all_kinds_by_all_methods_and_draws_it(tmp_path):
    findings = run("discovery", tmp_path / "run", "--quick", "--pairs", "2")
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


def test_the_planted_circuit_is_faithful_and_random_parts_are_not():
    model = load("planted:bm25?layers=3&heads=3&decoys=1&busy")
    texts, kept = collection(), ("patching", "activation difference", "EAP-IG", "random")
    every = [*methods_for(model.heads()), *methods_for(Graph.of(model).edges)]
    found = faithfulness.trace(
        model,
        Axioms(model, texts).tfc1(4),
        texts.sample(3, 5),
        share=0.2,
        left_out={method.name for method in every} - {*kept},
    )
    areas = found.areas.set_index(["kind", "method"])
    assert {*areas.index} == {*zip(found.curves["kind"], found.curves["method"], strict=True)}
    for kind, method in (("heads", "patching"), ("edges", "EAP-IG")):
        assert areas.loc[(kind, method), "cpr"] > areas.loc[(kind, "random"), "cpr"] + 0.2
        assert areas.loc[(kind, method), "cmd"] < areas.loc[(kind, "random"), "cmd"] - 0.2
    rankings = found.rankings.set_index(["method", "figure"])["mean"]
    assert rankings["patching", "tau"] > 0.99 > rankings["activation difference", "tau"]


def test_an_analysis_does_not_write_over_another_run(tmp_path):
    run("attention", tmp_path / "run")
    with pytest.raises(FileExistsError, match="--out"):
        run("attention", tmp_path / "run", "--seed", "1")


def test_tables_are_read_by_pandas_alone(tmp_path):
    run("attention", tmp_path / "run")
    heads = pd.read_parquet(tmp_path / "run" / "heads.parquet")
    assert {"unit", "attention", "recovered", "is_member"} <= set(heads.columns)
