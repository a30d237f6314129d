"""Discovery: which parts of a model make up a circuit, by every method and at its cost."""

from .cost import forward_passes
from .methods import Discovery as Discovery, Method, methods_for as methods_for
from .single_run import attention_to_matches, written_of_matches


__all__ = [
    "attention_to_matches",
    "forward_passes",
    "Method",
    "written_of_matches",
]
