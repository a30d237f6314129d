"""The analyses there are, read from their files without importing them.

An analysis is one file of this folder. It has

    a docstring        whose first line is the question
    Options            a NamedTuple of its own options, each `Annotated` with its help, if it has
                       any; `pairs`, `seed` and `collection` (a list: several) may be given other
                       defaults, and `model: None = None` means that it makes its own models
    Answer             a frozen dataclass of tables; the last one is the answer, and printed
    analyse(given)     the `Answer` for what is `Given`
    draw(answer)       optional: pages by file name
    IS_SPLIT = True    where what takes long is `given.gathered`, `given.table` or `given.parts`:
                       these are computed by several processes, if it is asked of several

`Options` uses builtins, typing, Path and `option_types` only: it is all of the file that
`--help` runs.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from . import option_types


class Analysis(NamedTuple):
    """What the command line needs to know of an analysis."""

    name: str
    question: str
    text: str  # the rest of the docstring
    options: Any  # the class `Options`
    is_split: bool = False  # whether several processes can share the work

    @property
    def defaults(self) -> dict[str, Any]:
        """Option to default."""
        return dict(self.options._field_defaults)

    @property
    def takes_model(self) -> bool:
        """Whether a model is asked; else the analysis makes its own."""
        return "model" not in self.options._fields


class NoOptions(NamedTuple):
    """Of an analysis with no options but those that all share."""


@cache
def catalogue() -> dict[str, Analysis]:
    """Name to analysis, in order of names."""
    return {
        found.name: found
        for path in sorted(Path(__file__).parent.glob("*.py"))
        if (found := read(path)) is not None
    }


def read(path: Path) -> Analysis | None:
    """The analysis in a file, if it is one: with a question and `analyse`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    question, _, text = (ast.get_docstring(tree) or "").partition("\n")
    defined = {
        each.name: each for each in tree.body if isinstance(each, ast.ClassDef | ast.FunctionDef)
    }
    if "analyse" not in defined or not question.endswith("?"):
        return None
    is_split = "IS_SPLIT" in {
        target.id
        for each in tree.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    if "Options" not in defined:
        return Analysis(path.stem, question, text.strip(), NoOptions, is_split)
    names = {
        **vars(option_types),
        "Annotated": Annotated,
        "Literal": Literal,
        "NamedTuple": NamedTuple,
        "Path": Path,
        "__name__": f"{__package__}.{path.stem}",
    }
    exec(compile(ast.Module([defined["Options"]], []), str(path), "exec"), names)
    return Analysis(path.stem, question, text.strip(), names["Options"], is_split)
