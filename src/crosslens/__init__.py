"""Mechanistic interpretability of cross-encoder rerankers.

The public names are listed once, in `__init__.pyi`. They are imported when first used, so
that `crosslens --help` need not wait for torch.
"""

from typing import Any

import lazy_loader


_listed, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A listed name, or one that stood here once and has moved."""
    try:
        return _listed(name)
    except AttributeError:
        if name.startswith("__"):
            raise
        from .moved import moved

        return moved(name)
