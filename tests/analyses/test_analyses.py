"""Every analysis runs from its command line, and its answer on a planted model is the truth."""

import importlib

import pandas as pd
import pytest
from crosslens.analyses.__main__ import main, questions

from crosslens import Findings


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


def test_an_analysis_does_not_write_over_another_run(tmp_path):
    run("attention", tmp_path / "run")
    with pytest.raises(FileExistsError, match="--out"):
        run("attention", tmp_path / "run", "--seed", "1")


def test_tables_are_read_by_pandas_alone(tmp_path):
    run("attention", tmp_path / "run")
    heads = pd.read_parquet(tmp_path / "run" / "heads.parquet")
    assert {"unit", "attention", "recovered", "is_member"} <= set(heads.columns)
