"""The README tells the truth: its code runs, its commands are real, its tables are whole."""

import importlib
import re
import shlex
from inspect import ismodule
from pathlib import Path

from crosslens.analyses.catalogue import catalogue
from crosslens.circuits.catalogue import CLAIMS

import crosslens
from crosslens.papers.paper import papers


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)


def test_the_script_is_fifteen_lines_and_finds_the_planted_heads(capsys):
    code = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(code) <= 15
    exec(PYTHON[0], {})
    truth = crosslens.plant("bm25").circuit
    printed = capsys.readouterr().out
    for unit in (unit for unit in truth if unit.site.name == "z"):
        assert str(unit) in printed


def test_the_commands_are_the_two_promised_and_parse():
    report, tests = (shlex.split(block) for block in SHELL)
    assert report[-2:] == [".venv/bin/crosslens", "report"]
    assert tests[-1] == ".venv/bin/pytest" and ".[test]" in tests
    assert "constraints.txt" in report and (ROOT / "constraints.txt").is_file()


def test_every_analysis_and_circuit_is_in_the_tables():
    circuits = {name.replace("-", "_") for name in CLAIMS}
    assert circuits == set(re.findall(r"`crosslens\.circuits\.(\w+)`", README))
    table = README.split("| analysis | question |")[1].split("\n\n")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, flags=re.MULTILINE))
    assert listed == {name: each.question for name, each in catalogue().items()}


def test_the_papers_it_names_can_be_reproduced():
    named = set(re.findall(r"crosslens reproduce (\w+)", README))
    assert named and named <= set(papers())


def test_every_name_the_readme_offers_exists_where_it_says():
    table = README.split("## What is there")[1].split("| circuit |")[0]
    homes = 0
    for row in table.splitlines()[3:]:
        cells = row.split("|")
        if len(cells) < 4:
            continue
        for name in re.findall(r"`(\w+)[`(]", cells[2]):
            assert name in crosslens.__all__, name
        for part in re.split(r"(?=`crosslens\.)", cells[3])[1:]:
            namespace, *names = re.findall(r"`([\w.]+)[`(]", part)
            home = importlib.import_module(namespace)
            assert names and set(names) <= set(home.__all__), (namespace, names)
            homes += 1
    assert homes == sum(ismodule(getattr(crosslens, name)) for name in crosslens.__all__)


def test_the_files_it_shows_exist():
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
