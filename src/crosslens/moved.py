"""Names that stood at the top of the package once: still found, with a warning that says where.

Version 0.1 had all its names there; most stand in namespaces now, and a few were renamed.
"""

from importlib import import_module
from inspect import ismodule
from typing import Any, Final
from warnings import warn


RENAMED: Final = {
    "direct": "direct_path",
    "each": "units_at",
    "embeddings": "tuning.is_embedding",
    "nodes": "faithfulness.nodes_of",
    "padded": "attribution.padding_baseline",
    "singular": "interventions.singular_vectors",
    "statistics": "stats",
}


def moved(name: str) -> Any:
    """What was called `crosslens.name`, from where it is now.

    Raises:
        AttributeError: nothing of that name is in any namespace.
    """
    if name in RENAMED:
        home, _, new = RENAMED[name].rpartition(".")
        found = getattr(import_module(f"crosslens.{home}" if home else "crosslens"), new)
        return warned(name, RENAMED[name], found)
    import crosslens

    for home in () if name.startswith("_") else dir(crosslens):
        found = getattr(getattr(crosslens, home), name, None)
        if ismodule(getattr(crosslens, home)) and not (found is None or ismodule(found)):
            return warned(name, f"{home}.{name}", found)
    raise AttributeError(f"module 'crosslens' has no attribute {name!r}")


def warned(name: str, now: str, found: Any) -> Any:
    """`found`, after a warning that says where it is now."""
    warn(f"crosslens.{name} is crosslens.{now} now", DeprecationWarning, stacklevel=4)
    return found
