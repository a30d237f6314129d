"""Who may import whom: the design, read from the imports."""

import ast
from inspect import ismodule
from pathlib import Path

import pytest

import crosslens


ROOT = Path(__file__).parents[1]
NAMESPACES = {name for name in crosslens.__all__ if ismodule(getattr(crosslens, name))}
LEAVES = {
    "signals",
    "stats",
    "not_measurable",
    "arrays",
    "by_pair",
    "frames",
    "markup",
}  # no model anywhere
MAY_IMPORT = {
    "sites": set(),
    "not_measurable": set(),
    "arrays": set(),
    "by_pair": {"arrays"},
    "frames": set(),
    "markup": set(),
    "pairs": {"sites", "not_measurable"},
    "hooks": {"sites", "pairs"},
    "batching": {"sites", "pairs", "hooks"},
    "circuit": {"sites"},
    "stats": {"not_measurable"},
    "signals": set(),
    "corpora": {"signals", "writing", "not_measurable"},
    "writing": set(),
    "plain_data": set(),
    "versions": set(),
    "findings": {"plain_data", "versions", "writing"},
    "provenance": {"corpora", "model"},
    "shards": {"findings", "plain_data", "writing"},
    "ranking": {"corpora", "stats", "signals", "writing"},
    "effectiveness": {"ranking", "corpora", *LEAVES},
    "contrasts": {"sites", "pairs", "corpora", *LEAVES},
    "default": {"batching", "corpora", "signals", "ranking", "effectiveness", "writing"},
    "planted": {"sites", "circuit", "signals", "corpora", "default"},
    "model": {"sites", "pairs", "hooks", "batching", "planted", "default"},
    "interventions": {"sites", "pairs", "hooks", "signals"},
    "engine": {"sites", "pairs", "hooks", "batching", "contrasts"},
    "attribution": {
        *("sites", "pairs", "hooks", "circuit", "interventions", "contrasts", "batching", "engine"),
        *LEAVES,
    },
    "neurons": {
        *("sites", "pairs", "hooks", "batching", "engine", "attribution", "writing"),
        *("corpora", "ranking", "effectiveness", *LEAVES),
    },
    "idf": {
        *("batching", "engine", "interventions", "attribution", "sites", "pairs", "hooks"),
        *LEAVES,
    },
    "probing": {"batching", "sites", "pairs", "hooks", "attribution", "idf", *LEAVES},
    "surrogate": {
        *("sites", "pairs", "hooks", "attribution", "idf", "corpora", "ranking"),
        *("batching", "engine"),
        *("effectiveness", *LEAVES),
    },
    "tuning": {
        *("pairs", "hooks", "batching", "probing", "idf", "corpora"),
        *("effectiveness", "writing", *LEAVES),
    },
    "faithfulness": {
        *("sites", "pairs", "hooks", "circuit", "interventions", "attribution"),
        *("batching", "engine"),
        "contrasts",
        *("corpora", "ranking", "effectiveness", "writing", *LEAVES),
    },
    "discovery": {
        *("sites", "pairs", "hooks", "circuit", "interventions", "attribution"),
        *("batching", "engine"),
        "contrasts",
        *LEAVES,
    },
    "reranking": {
        *("sites", "pairs", "model", "batching", "interventions", "idf", "corpora", "ranking"),
        *("effectiveness", "findings", *LEAVES),
    },
    "adapters": {"sites", "model", "batching", "interventions", "reranking", "frames"},
    "attention": {"attribution"},
    "words": {"attribution", "batching"},
    "explanation": {
        *("sites", "pairs", "hooks", "model", "interventions", "attribution", "writing"),
        *("batching", "engine"),
        *("versions", *LEAVES),
    },
    "exploration": {"explanation", "model", "interventions", "sites", "pairs", "hooks"},
    "circuits": NAMESPACES | {"frames"},  # what they need is public
    "report": {
        *("circuits", "sites", "pairs", "model", "contrasts", "corpora", "engine", "interventions"),
        *("attribution", "faithfulness", "surrogate", "ranking", "effectiveness", "findings"),
        *LEAVES,
    },
    "analyses": {"circuits", "frames", *NAMESPACES},
    "moved": NAMESPACES,
}
EVERYTHING = {"cli", "__main__"}  # what a user runs may use every part
FILES = [
    path
    for folder in ("src/crosslens", "circuits", "analyses")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != ROOT / "src/crosslens/__init__.py"
]


def home(path: Path) -> str:
    """The part of crosslens that a file belongs to."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[2] if parts[0] == "src" else parts[0]


def imports(path: Path) -> set[str]:
    """The parts of crosslens that `path` imports from."""
    depth = len(path.relative_to(ROOT).parts) - (2 if path.is_relative_to(ROOT / "src") else 0)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and (node.module or "").startswith("crosslens."):
                found.add(node.module.split(".")[1])
            elif node.level >= 1 and node.level >= depth:
                found.update(
                    [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
                )
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    part = home(path)
    if part in EVERYTHING:
        return
    if part in {"report", "papers"}:
        assert not imports(path) & ({"analyses", "cli"} if part == "report" else {"cli"})
        return
    assert part in MAY_IMPORT, f"{part} has no place in the architecture yet"
    wrong = imports(path) - {part} - MAY_IMPORT[part]
    assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("folder", ["circuits", "analyses"])
def test_circuits_and_analyses_import_from_namespaces_never_from_files_below(folder):
    public = {"crosslens", "crosslens.frames", *(f"crosslens.{name}" for name in NAMESPACES)}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if module.startswith("crosslens") and not module.startswith("crosslens.circuits"):
                assert module in public, f"{path}:{node.lineno} imports from {module}"


def test_the_reader_of_imports_sees_a_wrong_one(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    bad = tmp_path / "src/crosslens/pairs.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("from .model.load import load\nfrom crosslens.analyses import layers\n")
    assert imports(bad) == {"model", "analyses"}
