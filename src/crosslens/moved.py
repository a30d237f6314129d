"""Names that stood at the top of the package once: still found, with a warning that says where.

Version 0.1 had all its names there; most stand in namespaces now, and a few were renamed.
"""

from importlib import import_module
from types import ModuleType
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
NAMESPACES: Final = (
    *("attention", "attribution", "contrasts", "corpora", "discovery", "effectiveness"),
    *("faithfulness", "idf", "interventions", "neurons", "planted", "signals", "stats"),
    *("surrogate", "tuning", "words"),
)


def moved(name: str) -> Any:
    """What was called `crosslens.name`, from where it is now.

    Raises:
        AttributeError: nothing of that name is in any namespace.
    """
    if name in RENAMED:
        home, _, new = RENAMED[name].rpartition(".")
        found = getattr(import_module(f"crosslens.{home}" if home else "crosslens"), new)
        return warned(name, RENAMED[name], found)
    if not name.startswith("_"):
        for home in NAMESPACES:
            module = import_module(f"crosslens.{home}")
            if hasattr(module, name) and not isinstance(getattr(module, name), ModuleType):
                return warned(name, f"{home}.{name}", getattr(module, name))
    raise AttributeError(f"module 'crosslens' has no attribute {name!r}")


def warned(name: str, now: str, found: Any) -> Any:
    """`found`, after a warning that says where it is now."""
    warn(f"crosslens.{name} is crosslens.{now} now", DeprecationWarning, stacklevel=4)
    return found
