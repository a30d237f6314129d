"""The command line: quick to answer, clear when something is wrong, nothing lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from command_line import crosslens
from crosslens.circuits.catalogue import CLAIMS
from short_texts import short_texts
from trec_files import write_trec

import crosslens.report.units as measuring
from crosslens import Findings
from crosslens.cli.running import default_model, EMBEDDED, PLANTED


MODEL = "planted:bm25?layers=3&heads=3&decoys=1&busy=1"
SMALL = ["--pairs", "2", "--ranking-pairs", "40", "--signals", "TFC1", "--no-circuit"]

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A little collection in the style of TREC."""
    return write_trec(tmp_path_factory.mktemp("collection"), short_texts(6, 5))


def report(*arguments: str | Path):
    return crosslens("report", *arguments)


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    return report(MODEL, "--collection", folder, "--out", out, *SMALL), out


def test_one_command_makes_a_report(made, folder):
    result, out = made
    assert result.exit_code == 0, result.output
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    findings = Findings.open(out)
    assert findings.config["model"] == MODEL and findings.config["collection"] == str(folder)
    assert findings.meta["seconds"] > 0
    for shown in ("nDCG@10", "TFC1", "control", "report.html", "Ranking …", "Patching …"):
        assert shown in result.stdout


def test_another_run_is_not_overwritten_and_the_same_resumes(made, folder):
    _, out = made
    before = (out / "effects.parquet").stat().st_mtime_ns, (out / "report.html").read_text()
    same = [MODEL, "--collection", folder, "--out", out, *SMALL]
    result = report(*same)
    assert result.exit_code == 2 and "--resume" in result.stderr and "--out" in result.stderr
    other = report(*same, "--seed", "7")
    assert other.exit_code == 2 and "holds another run (its seed differ)" in other.stderr
    assert report(*same, "--seed", "7", "--resume").exit_code == 2
    assert (out / "effects.parquet").stat().st_mtime_ns == before[0]
    again = report(*same, "--resume", "--quiet")
    assert again.exit_code == 0
    assert again.stdout.strip() == str(out / "report.html"), "quiet prints the path only"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["planted:tfidf"], "tfidf"),
        (["no/such/folder/here"], "no checkpoint at 'no/such/folder/here'"),
        ([MODEL, "--collection", "nowhere"], "nowhere does not exist"),
        ([MODEL, "--pairs", "0"], "--pairs is 0"),
        ([MODEL, "--signals", "TFC9"], "no contrast is called 'TFC9'"),
    ],
)
def test_what_a_user_can_set_right_is_one_line_without_a_traceback(
    arguments, said, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = report(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ") and said in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()


def test_a_broken_collection_file_is_named_with_its_line(folder, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with (broken / "qrels.txt").open("a") as file:
        file.write("nobody 0 nothing high\n")
    result = report(MODEL, "--collection", broken, "--out", tmp_path / "run", *SMALL)
    line = len((broken / "qrels.txt").read_text().splitlines())
    assert result.exit_code == 2 and f"qrels.txt:{line}" in result.stderr


def test_two_collections_of_one_name_are_refused_before_their_tables_mix(folder, tmp_path):
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    asked = ["analyse", "linear_bm25", MODEL, "--collection", folder, "--collection", other]
    result = crosslens(*asked, "--out", tmp_path / "run")
    assert result.exit_code == 2 and f"two collections are called {folder.name}" in result.stderr


def test_debug_shows_the_traceback(tmp_path):
    result = report(MODEL, "--collection", "nowhere", "--out", tmp_path / "run", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr and "FileNotFoundError" in result.stderr


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(folder, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    arguments = [MODEL, "--collection", folder, "--out", tmp_path / "run", *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr(measuring, "patching", interrupted)
        result = report(*arguments)
    assert result.exit_code == 130
    assert "ranking" in result.stderr and "--resume" in result.stderr
    assert len(Findings.open(tmp_path / "run").read("ranking")) > 20
    assert report(*arguments, "--resume").exit_code == 0


def test_a_log_of_json_is_one_object_a_line(folder, tmp_path, monkeypatch):
    asked = ["analyse", "term_frequency", MODEL, "--collection", str(folder), "--pairs", "2"]
    asked += ["--log", "json", "--out", str(tmp_path / "run")]
    found = [json.loads(line) for line in crosslens(*asked).stderr.splitlines()]
    assert {"time", "event", "done", "total", "seconds_left"} == found[0].keys()
    assert found[0]["done"] == 0 and found[-1]["done"] == found[-1]["total"] > 0
    assert found[-1]["seconds_left"] == 0 and datetime.fromisoformat(found[0]["time"]).tzinfo
    (wrong,) = crosslens(*asked).stderr.splitlines()
    assert json.loads(wrong)["event"] == "error" and "--resume" in json.loads(wrong)["message"]


def test_a_full_disk_ends_with_one_line_and_the_run_goes_on(folder, tmp_path, monkeypatch):
    asked = ["rerank", "--model", MODEL, "--collection", str(folder), "--out"]
    asked.append(str(tmp_path / "new.run"))
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", 5)
    whole, n_written = os.replace, iter(range(8))

    def full(source, target):
        if next(n_written) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        result = crosslens(*asked)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert "no disk space left" in result.stderr and "--resume" in result.stderr
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores/*.parquet")}
    assert kept and crosslens(*asked, "--resume").exit_code == 0
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_the_default_is_the_embedded_reranker_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("crosslens.cli.running.files", lambda package: tmp_path)
    assert default_model() == PLANTED
    (tmp_path / "default" / "reranker").mkdir(parents=True)
    (tmp_path / "default" / "reranker" / "config.json").write_text("{}")
    assert default_model() == EMBEDDED


def circuits(*arguments: str | Path):
    return crosslens("circuits", *arguments)


def test_the_catalogue_lists_every_claim_with_its_source_and_what_is_known():
    result = circuits()
    assert result.exit_code == 0
    for name, claim in CLAIMS.items():
        assert name in result.stdout and claim.source[:20] in result.stdout
    assert "13 members" in result.stdout and "ms-marco-MiniLM-L-12-v2" in result.stdout


@pytest.fixture(scope="module")
def tested(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    arguments = ["test", "relevance", "--model", MODEL, "--collection", folder, "--pairs", "5"]
    return circuits(*arguments, "--out", out), arguments, out


def test_a_claim_is_confirmed_with_figures_controls_and_one_sentence(tested):
    result, _, out = tested
    assert result.exit_code == 0, result.output
    assert f"relevance holds in {MODEL}" in result.stdout
    for column in ("figure", "value", "95 % interval", "control", "expected", "holds"):
        assert column in result.stdout
    findings = Findings.open(out)
    assert findings.read("claims")["holds"].tolist() == [True]
    assert len(findings.read("figures")) > 3 and (out / "claims.json").is_file()
    assert '"relevance scoring": heads("' in (out / "members.py").read_text()
    assert json.loads((out / "circuit.json").read_text())["checkpoint"] == MODEL


def test_a_test_that_is_gone_on_with_is_not_made_again(tested, monkeypatch):
    _, arguments, out = tested
    monkeypatch.setattr("crosslens.circuits.examine.judged", None)
    again = circuits(*arguments, "--out", out, "--resume", "--quiet")
    assert again.exit_code == 0 and again.stdout.strip() == str(out)
    assert circuits(*arguments, "--out", out).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["relevence"], "no claim is called 'relevence'; did you mean relevance?"),
        (["bm25", "--pairs", "1"], "--pairs is 1"),
        (["bm25", "--model", "planted:tfidf"], "tfidf"),
    ],
)
def test_a_wrong_test_is_one_line(arguments, said, tmp_path):
    result = circuits("test", *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2 and result.stderr.startswith("Error: ") and said in result.stderr
    assert not (tmp_path / "run").exists()


def test_ctrl_c_keeps_the_verdicts_that_are_there(folder, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    arguments = [
        "--model",
        MODEL,
        "--collection",
        folder,
        "--pairs",
        "5",
        "--out",
        tmp_path / "r",
    ]
    with monkeypatch.context() as patched:
        patched.setattr("crosslens.circuits.relevance.found", interrupted)
        result = circuits("test", "all", *arguments)
    assert result.exit_code == 130 and "--resume" in result.stderr
    kept = Findings.open(tmp_path / "r").read("claims")
    assert kept["claim"].tolist() == ["matching", "contextual"]


def test_help_answers_at_once_and_imports_nothing_heavy():
    heavy = "torch transformers pandas plotly scipy".split()
    script = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    runpy.run_module('crosslens', run_name='__main__')\n"
        "except SystemExit as done:\n    assert not done.code\n"
        f"assert not set({heavy}) & set(sys.modules)\n"
    )
    begun = time.process_time(), os.times()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout
    # processor time of the child: what the command costs, however busy the machine is
    assert (
        after.children_user
        + after.children_system
        - (begun[1].children_user + begun[1].children_system)
        < 1
    )
