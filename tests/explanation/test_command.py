"""`crosslens explain`: prints, writes, and says in one line what is wrong."""

import json

import pytest
from command_line import crosslens

from crosslens.cli.running import PLANTED


TEXTS = ["canoe paddle", "a canoe needs a paddle", "a bus needs a canoe"]


def explain(*arguments):
    return crosslens("explain", *arguments)


def test_it_prints_and_writes(tmp_path):
    html, data = tmp_path / "deep" / "why.html", tmp_path / "why.json"
    result = explain(*TEXTS, "--model", PLANTED, "--html", html, "--json", data)
    assert result.exit_code == 0, result.output
    for shown in ("Passage 1", "What separates", "The order turns with", str(html)):
        assert shown in result.stdout
    assert html.read_text().startswith("<!DOCTYPE html>")
    assert len(json.loads(data.read_text())["passages"]) == 2


def test_quiet_prints_the_path_alone(tmp_path):
    path = tmp_path / "why.json"
    result = explain(*TEXTS[:2], "--model", PLANTED, "--json", path, "--quiet")
    assert result.exit_code == 0 and result.stdout == f"{path}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["", "a canoe"], "empty query in pairs [0]"),
        (["canoe", "  "], "passage 1 as given is empty"),
        (["canoe", "a canoe", "--details", "-1"], "details=-1"),
        (["canoe", "a canoe", "--html", "."], "is a folder"),
        (["canoe", "a canoe", "--device", "cuda:99"], "--device is 'cuda:99'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, says):
    result = explain(*arguments, "--model", PLANTED)
    assert result.exit_code == 2 and says in result.stderr
    assert result.stderr.count("\n") == 1
