"""Families published with code of their own: one file each says which names are which."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ..refused import declared_names
from .gte import GTE
from .jina import JINA
from .llama_bidirectional import LLAMA_BIDIRECTIONAL
from .own_code import OwnCode


OWN_CODE: Final[tuple[OwnCode, ...]] = (JINA, GTE, LLAMA_BIDIRECTIONAL)


def own_code(config: Mapping[str, Any]) -> OwnCode | None:
    """The family that a config.json declares, if it is one of these."""
    for name in declared_names(config):
        last = re.sub(r"^.*--", "", str(name))
        for family in OWN_CODE:
            if re.fullmatch(rf"(\w+\.)?({family.declared})", last):
                return family
    return None
