"""The documents tell the truth: their code runs, their commands parse, their links lead on."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from copy import deepcopy
from inspect import ismodule
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from command_line import built, LOADED
from markdown_it import MarkdownIt
from pygments.lexers import get_lexer_by_name
from pygments.token import Error

import crosslens
from crosslens.cli import app


ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("how_to/*.md"))]
PAGES = [*sorted(ROOT.glob("*.md")), *WRITTEN]
PAGES = [page for page in PAGES if not {"generated", "_build"} & set(page.parts)]
TOOLS = r"(\.venv/bin/)?(crosslens|python|pytest|pip|ruff|pyright)\b"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [
        token.content
        for token in MarkdownIt().parse(text)
        if token.type == "fence" and token.info.strip() == language
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_CODE = [page for page in PAGES if blocks(page.read_text(), "python")]


@pytest.fixture(scope="session")
def generated(tmp_path_factory) -> Path:
    """The pages that are written from the code."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("docs") / "generated"
    module.write_all(folder)
    return folder


LOAD = crosslens.load


def load_once(*asked: Any, **options: Any) -> crosslens.CrossEncoder:
    """As `crosslens.load`; models that pages ask for by the same name are copies of one."""
    is_named = not options and all(isinstance(each, str) for each in asked)
    return deepcopy(LOADED(*asked)) if is_named else LOAD(*asked, **options)


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    from crosslens.circuits import catalogue

    from crosslens.model.families import FAMILIES

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(crosslens, "load", load_once)
    known, claims = dict(FAMILIES), dict(catalogue.CLAIMS)
    torch.manual_seed(0)
    namespace = {"__name__": page.stem}
    try:
        for number, code in enumerate(blocks(page.read_text(), "python")):
            exec(compile(code, f"{name(page)}, block {number}", "exec"), namespace)
    finally:
        FAMILIES.clear()
        FAMILIES.update(known)
    assert dict(catalogue.CLAIMS) == claims
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_or_a_heading(page, generated):
    for target in links(page.read_text()):
        path, _, heading = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        if where.is_relative_to(DOCS / "generated"):
            where = generated / where.name
        assert where.is_file(), f"{name(page)} links to {target}"
        is_built = page.is_relative_to(DOCS)  # a page of the site leads to pages of the site
        assert not is_built or where.is_relative_to(DOCS) or where.parent == generated, target
        assert not heading or heading in headings(where), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_headings_go_down_by_one_and_begin_with_the_title(page):
    check_headings(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_those_of_the_command_line(page):
    for line in commands(page.read_text()):
        tool, *words = shlex.split(line.removeprefix(".venv/bin/"))
        if tool == "crosslens":
            check_command(built(app), words)
        elif words[:1] == ["-m"] and words[1] not in ("venv", "sphinx"):
            assert importlib.util.find_spec(words[1]), line
        elif tool == "pytest":
            assert all((ROOT / word).exists() for word in words), line
        elif tool not in ("python", "python3"):
            assert tool == "pip" or shutil.which(tool, path=Path(sys.executable).parent), line


def commands(text: str) -> list[str]:
    """The commands of a page: of blocks of the shell, and of indented ones."""
    found = [
        command.strip()
        for token in MarkdownIt().parse(text)
        if token.type == "code_block" or token.info.strip() == "sh"
        for line in token.content.splitlines()
        for command in line.partition("  #")[0].split("&&")
    ]
    return [
        each
        for each in found
        if re.match(r"(\.venv/bin/)?(crosslens|python|pytest|pip|ruff|pyright)\b", each)
    ]


def check_command(command: Any, words: list[str]) -> None:
    """An error unless the command line has this command with these options."""
    if not hasattr(command, "list_commands"):
        command.make_context(command.name, words)
        return
    within = typer.Context(command)
    found = command.get_command(within, words[0])
    assert found, f"there is no command {words[0]!r}; there are {command.list_commands(within)}"
    check_command(found, words[1:])


@pytest.mark.parametrize("line", ["reprot", "analyse idf", "report --pair 3", "circuits test"])
def test_a_command_that_is_none_is_found(line):
    with pytest.raises((AssertionError, Exception), match="no command|[Nn]o such|Missing"):
        check_command(built(app), line.split())


def test_every_page_is_in_the_table_of_contents():
    [contents] = blocks((DOCS / "index.md").read_text(), "{toctree}")
    listed = {line for line in contents.splitlines() if line and not line.startswith(":")}
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in PAGES if p.is_relative_to(DOCS)}
    assert pages - {"index"} == {each for each in listed if not each.startswith("generated/")}


def test_every_public_name_is_in_the_reference(generated):
    for home_name in ("", *(n for n in crosslens.__all__ if ismodule(getattr(crosslens, n)))):
        home = getattr(crosslens, home_name) if home_name else crosslens
        stem = "-".join(["reference", "crosslens", *filter(None, [home_name])])
        text = (generated / f"{stem}.md").read_text()
        listed = {each for each in home.__all__ if not ismodule(getattr(home, each))}
        assert listed == set(re.findall(r"^## `(\w+)`$", text, flags=re.MULTILINE))


def test_pages_hold_nothing_that_sphinx_would_warn_of(generated):
    for page in (*WRITTEN, *generated.glob("*.md")):
        text = page.read_text()
        check_headings(text)
        outside = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)
        assert not re.search(r"\{[\w-]+\}`", outside), f"{page.name}: read as a role"
        assert not re.search(r"^\([\w-]+\)=|\[\^|^\[.+\]: ", outside, re.MULTILINE), page.name
        for token in MarkdownIt().parse(text):
            if token.type == "fence" and not token.info.startswith("{"):
                assert token.info, f"{page.name}: a block without a language"
                lexed = get_lexer_by_name(token.info).get_tokens(token.content)
                wrong = [text for kind, text in lexed if kind in Error]
                assert not wrong, f"{page.name}: {wrong} in {token.content}"


def test_links_and_signatures_of_generated_pages_are_whole(generated):
    for page in sorted(generated.glob("*.md")):
        text = page.read_text()
        for target in links(text):
            assert (generated / target.partition("#")[0]).is_file(), (page.name, target)
        for code in blocks(text, "python"):
            assert parses(code), f"{page.name}: {code}"


def test_the_hook_points_are_those_of_each_family(generated, any_model, family):
    rows = [line.split("|") for line in (generated / "hook_points.md").read_text().splitlines()]
    [header] = [row for row in rows if len(row) > 3 and row[1].strip() == "site"]
    if family.endswith("-mean"):
        family = family.removesuffix("-mean")
    column = [cell.strip() for cell in header].index(family)
    marked = {
        row[1].strip(" `") for row in rows if len(row) > column and row[column].strip() == "●"
    }
    assert marked == {site.name for site in any_model.points}


def test_the_command_line_page_has_every_command_and_option(generated):
    text = (generated / "command_line.md").read_text()
    for words in ("crosslens report", "crosslens circuits test", "crosslens analyse discovery"):
        assert f"## `{words}`" in text
    assert "--resume" in text and "Exit codes" in text


def test_the_map_of_the_folders_is_that_of_the_tree():
    text = (DOCS / "architecture.md").read_text().split("## Map of the folders")[1]
    rows = re.findall(r"^\| (`.*?) \|", text.split("\n## ")[0], flags=re.MULTILINE)
    named = [each for row in rows for each in re.findall(r"`([\w/]+)`", row)]
    assert len(named) == len(set(named))
    package = ROOT / "src/crosslens"
    there = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(named) == there, "docs/architecture.md has a row for each part of src/crosslens"


def test_sphinx_builds_the_pages_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    pytest.importorskip("myst_parser", reason="the extra `docs` is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "tutorial.html").is_file()


def links(text: str) -> list[str]:
    """Where the links and images of a page lead, other than to the web."""
    found = [
        str(child.attrGet("href") or child.attrGet("src") or "")
        for token in MarkdownIt().parse(text)
        for child in token.children or ()
        if child.type in ("link_open", "image")
    ]
    return [each for each in found if not re.match(r"https?:|mailto:", each)]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    tokens = MarkdownIt().parse(page.read_text())
    titles = [tokens[i + 1].content for i, each in enumerate(tokens) if each.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check_headings(text: str) -> None:
    levels = [int(t.tag[1]) for t in MarkdownIt().parse(text) if t.type == "heading_open"]
    assert levels[:1] == [1] and levels.count(1) == 1, levels
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), levels


def parses(signature: str) -> bool:
    """Whether a signature, given a body, is Python."""
    for body in (signature, f"{signature}\n    ..."):
        try:
            ast.parse(body)
        except SyntaxError:
            continue
        return True
    return False
