"""`python -m crosslens.analyses`: the questions there are."""

import ast
from pathlib import Path


def questions() -> dict[str, str]:
    """Every analysis and the question it asks: the first line of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        if first.endswith("?"):
            found[path.stem] = first
    return found


def main() -> None:
    for name, question in questions().items():
        print(f"python -m crosslens.analyses.{name:<16} {question}")


if __name__ == "__main__":
    main()
