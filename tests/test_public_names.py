"""Every public name says what it does, in shapes, units and errors, and some test uses it."""

import ast
import re
import sys
from functools import cache
from importlib import import_module
from inspect import isclass, ismodule
from pathlib import Path
from typing import NamedTuple

import pytest

import crosslens


ROOT = Path(__file__).parents[1]
NAMESPACES = [getattr(crosslens, n) for n in crosslens.__all__ if ismodule(getattr(crosslens, n))]
PUBLIC = {
    f"{home.__name__}.{name}": getattr(home, name)
    for home in (crosslens, *NAMESPACES)
    for name in home.__all__
    if not ismodule(getattr(home, name))
}
DEFINED = {name: value for name, value in PUBLIC.items() if hasattr(value, "__qualname__")}
BARE = ("Tensor", "torch.Tensor", "np.ndarray")  # a shape is missing
UNIT = re.compile(
    r"\b(scores?|scale|conductance|nats|bits|share|chance|precision|recall|correlation|"
    r"Pearson|between 0 and 1|0 to 1|passes|IDF|log)\b",
    re.IGNORECASE,
)
SETUP = ("__init__", "__new__", "__post_init__")  # what they raise, the class says


class Callable(NamedTuple):
    """A public function or method: its name, its code, and the text that describes it."""

    name: str
    node: ast.FunctionDef
    text: str


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definition(value: type) -> ast.FunctionDef | ast.ClassDef:
    """The code that defines a public function or class."""
    package, *rest = value.__module__.split(".")
    path = ROOT / "src" / package / Path(*rest)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = [each for each in tree(path).body if getattr(each, "name", "") == value.__name__]
    return found[-1]  # after its overloads


def callables(name: str, node: ast.FunctionDef | ast.ClassDef) -> list[Callable]:
    """The function itself, or the public methods of a class and what sets it up."""
    text = ast.get_docstring(node) or ""
    if isinstance(node, ast.FunctionDef):
        return [Callable(name, node, text)]
    return [
        Callable(f"{name}.{each.name}", each, text + (ast.get_docstring(each) or ""))
        for each in node.body
        if isinstance(each, ast.FunctionDef)
        and (each.name in SETUP or not each.name.startswith("_"))
    ]


def raised(node: ast.FunctionDef) -> set[str]:
    """The classes of the errors that a function raises in its own body."""
    found = (each.exc for each in ast.walk(node) if isinstance(each, ast.Raise))
    calls = (each.func for each in found if isinstance(each, ast.Call))
    return {each.id for each in calls if isinstance(each, ast.Name) and each.id[0].isupper()}


def faults(name: str, node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """What the documentation of a public name lacks."""
    found = []
    if not ast.get_docstring(node):
        found.append(f"{name} has no docstring")
    for each in callables(name, node):
        is_setup = each.node.name in SETUP
        if each.node is not node and not ast.get_docstring(each.node) and not is_setup:
            found.append(f"{each.name} has no docstring")
        for error in sorted(raised(each.node)):
            if error not in each.text:
                found.append(f"{each.name} raises {error} and does not say so")
        arguments = each.node.args
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        hints = [argument.annotation for argument in listed] + [each.node.returns]
        written = [ast.unparse(hint) for hint in hints if hint]
        if any(part in BARE for hint in written for part in hint.split(" | ")):
            found.append(f"{each.name} has a tensor without a shape")
        returns = ast.unparse(each.node.returns) if each.node.returns else ""
        if re.match(r"float\b|Float\[", returns.strip("'\"")) and not UNIT.search(each.text):
            found.append(f"{each.name} returns a number and does not say of what unit")
        if returns == "pd.DataFrame" and not re.search(r"\b(rows?|columns?)\b", each.text, re.I):
            found.append(f"{each.name} returns a table and does not say of what rows and columns")
    return found


@cache
def used() -> set[str]:
    """Public names that a test, or a block of the documents that a test runs, imports."""
    texts = [path.read_text() for path in ROOT.glob("tests/**/*.py")]
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/how_to/*.md")):
        texts += re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
    return {
        alias.name
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crosslens")
        for alias in node.names
    }


@pytest.mark.parametrize("home", [crosslens, *NAMESPACES], ids=lambda home: home.__name__)
def test_every_public_name_says_its_shapes_units_and_errors(home):
    own = {
        name: value for name, value in DEFINED.items() if name.rpartition(".")[0] == home.__name__
    }
    found = [fault for name, value in own.items() for fault in faults(name, definition(value))]
    assert not found, "\n".join(found)


def test_what_public_names_return_can_be_imported_from_one_level_below_the_top():
    for name, value in DEFINED.items():
        for each in callables(name, definition(value)):
            returns = ast.unparse(each.node.returns) if each.node.returns else ""
            for word in re.findall(r"\b[A-Z]\w+", returns):
                returned = getattr(sys.modules[value.__module__], word, None)
                if isclass(returned) and returned.__module__.startswith("crosslens."):
                    package = import_module(".".join(returned.__module__.split(".")[:2]))
                    homes = [vars(home).get(word) for home in (package, *NAMESPACES)]
                    assert returned in homes or word in crosslens.__all__, (each.name, word)


def test_every_public_name_is_used_by_a_test():
    unused = [name for name in PUBLIC if name.rpartition(".")[2] not in used()]
    assert not unused, unused


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def f(): ...", "has no docstring"),
        ('def f():\n "A."\n raise ValueError("no")', "raises ValueError"),
        ('def f(x: Tensor | None):\n "A."', "without a shape"),
        ('def f() -> float:\n "A."', "unit"),
        ('def f() -> pd.DataFrame:\n "A."', "rows and columns"),
        ('class F:\n "A."\n def g(self): ...', "F.g has no docstring"),
        (
            'class F:\n "A."\n def __post_init__(self): raise LookupError("no")',
            "raises LookupError",
        ),
    ],
)
def test_the_check_finds_each_kind_of_fault(code, fault):
    [node] = ast.parse(code).body
    [found] = faults(node.name, node)
    assert fault in found
