"""Pages that are written from the code: reference, hook points, command line, map of the tree.

    python docs/generate.py FOLDER

Sphinx runs this before every build, so that these pages are never older than the code.
"""

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import ismodule
from pathlib import Path
from typing import Any

import typer

import crosslens
from crosslens.cli import app
from crosslens.sites import KINDS


ROOT = Path(__file__).parents[1]
SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")
Definition = ast.FunctionDef | ast.ClassDef


def write_all(folder: Path) -> None:
    """Write every generated page into `folder`, and remove pages of names that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "hook_points": hook_points(),
        "map": tree_map(),
        "command_line": command_line(),
        **reference(),
    }
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)


# --- the reference ---------------------------------------------------------------------------


def reference() -> dict[str, str]:
    """A page for the names at the top, one for each namespace, and one that lists them."""
    homes = {"crosslens": crosslens}
    for name in sorted(crosslens.__all__):
        if ismodule(value := getattr(crosslens, name)):
            homes[f"crosslens.{name}"] = value
    pages = {f"reference-{name.replace('.', '-')}": page(name, at) for name, at in homes.items()}
    lines = ["# Reference", "", "Every public name, from its docstring.", ""]
    for name, stem in zip(homes, pages, strict=True):
        lines.append(f"- [`{name}`]({stem}.md): {first_sentence(homes[name].__doc__)}")
    lines += ["", "```{toctree}", ":hidden:", "", *pages, "```", ""]
    return {"reference": "\n".join(lines), **pages}


def page(name: str, home: object) -> str:
    """The names that one namespace lists, in alphabetical order."""
    lines = [f"# `{name}`", "", markdown(home.__doc__ or ""), ""]
    for listed in sorted(home.__all__, key=str.lower):
        value = getattr(home, listed)
        if ismodule(value):
            continue
        lines += [f"## `{listed}`", "", f"`from {name} import {listed}`", ""]
        if hasattr(value, "__qualname__"):
            lines += described(*definition(value))
        else:
            lines += [f"A constant: {', '.join(f'`{each}`' for each in value)}.", ""]
    return "\n".join(lines)


def definition(value: type) -> tuple[Definition, list[str]]:
    """The code of a function or class, and the lines of its file."""
    text = Path(sys.modules[value.__module__].__file__ or "").read_text()
    found = [each for each in ast.parse(text).body if getattr(each, "name", "") == value.__name__]
    return found[-1], text.splitlines()


def described(node: Definition, lines: list[str]) -> Iterator[str]:
    """Signature and docstring; of a class its fields and public methods too."""
    yield from ("```python", signature(node, lines), "```", "")
    yield from (markdown(ast.get_docstring(node) or ""), "")
    if isinstance(node, ast.FunctionDef):
        return
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            yield from (f"### `{node.name}.{method.name}`", "")
            yield from described(method, lines)


def signature(node: Definition, lines: list[str]) -> str:
    """The lines of a definition before its body; of a class, its fields as well."""
    start = node.body[0].lineno if node.body[0].lineno > node.lineno else node.lineno + 1
    head = [line[node.col_offset :] for line in lines[node.lineno - 1 : start - 1]]
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    for each in fields if isinstance(node, ast.ClassDef) else ():
        head += [line[node.col_offset :] for line in lines[each.lineno - 1 : each.end_lineno]]
    return "\n".join(head).rstrip()


def markdown(text: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    lines, inside = [], False
    for line in text.strip().splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            lines += [f"**{line.rstrip(':')}**", ""]
            inside = True
        elif inside and re.match(r" {4}\S", line):
            lines.append(f"- {line.strip()}")
        else:
            inside &= line.startswith(" ") or not line
            lines.append(f"  {line.strip()}" if inside and line else line)
    return "\n".join(lines)


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    return " ".join((text or "").split("\n\n")[0].split())


# --- hook points -----------------------------------------------------------------------------


def hook_points() -> str:
    """Which site each family has, from tiny random models of all of them."""
    sys.path.insert(0, str(ROOT / "tests"))
    tiny = import_module("tiny")
    has = {
        family: {site.name for site in crosslens.load(*tiny.tiny(family)).points}
        for family in tiny.AND_DECODER
        if not family.endswith("-mean")
    }
    lines = [
        "# Hook points",
        "",
        "Every tensor of the forward pass that can be watched and edited, in the order in which it "
        "is computed. The hook names are those of TransformerLens' `HookedEncoder`.",
        "",
        "| site | hook point | axes | meaning | " + " | ".join(has) + " |",
        "|---" * (4 + len(has)) + "|",
    ]
    for name, kind in KINDS.items():
        marks = " | ".join("●" if name in sites else "" for sites in has.values())
        hook = kind.hook.replace("{}", "L")
        axes = ", ".join(kind.axes)
        lines.append(f"| `{name}` | `{hook}` | {axes} | {kind.meaning} | {marks} |")
    return "\n".join([*lines, "", "`L` is the number of a layer, from 0.", ""])


# --- the command line ------------------------------------------------------------------------


def command_line() -> str:
    """What `--help` answers for every command."""
    lines = ["# Command line", "", "What `--help` answers, command by command.", ""]
    for name, text in helps(typer.main.get_command(app), "crosslens"):
        lines += [f"## `{name}`", "", "```text", text, "```", ""]
    return "\n".join(lines)


def helps(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """The name and the help of a command and of those within it."""
    context = typer.Context(command, info_name=name)
    yield name, command.get_help(context)
    for each in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from helps(command.get_command(context, each), f"{name} {each}")


# --- the map ---------------------------------------------------------------------------------


def tree_map() -> str:
    """Every folder of the code with what it holds, and every file with its first sentence."""
    lines = ["# Map of the code", "", "Written from the first sentence of each file.", ""]
    for folder in ("src/crosslens", "circuits", "analyses"):
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            about = first_sentence(ast.get_docstring(ast.parse(init.read_text())))
            lines += [f"## {init.parent.relative_to(ROOT)}", "", about, ""]
            for path in sorted(init.parent.glob("*.py")):
                if path != init:
                    about = first_sentence(ast.get_docstring(ast.parse(path.read_text())))
                    lines.append(f"- `{path.name}`: {about}")
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
