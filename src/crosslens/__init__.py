"""Mechanistic interpretability of cross-encoder rerankers.

The public names are listed once, in `__init__.pyi`. They are imported when first used, so
that `crosslens --help` need not wait for torch.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
