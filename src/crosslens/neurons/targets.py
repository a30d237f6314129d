"""Targets: what flows through a neuron, for the class "relevant" and for the other one.

    score        the logit of relevance, or the difference of two; the other class: minus that
    probability  of the class, as in Vast et al. (2024): it flattens where the model is sure
    logit        the class's own logit, of models that have two; else as score

With score and probability the flow for one class is minus that for the other on the same pair.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.flow.conductance import Target


TARGETS: Final = ("probability", "score", "logit")


def target(name: str, *, is_relevant: bool, relevant_label: int = 1) -> Target:
    """The target of that name for one of the two classes.

    Args:
        relevant_label: which of two logits is that of relevance, `model.relevance.relevant`.

    Raises:
        LookupError: there is no target of that name; says which there are.
    """
    if name not in TARGETS:
        raise LookupError(f"no target is called {name!r}; there are {', '.join(TARGETS)}")
    sign = 1 if is_relevant else -1
    label = relevant_label if is_relevant else 1 - relevant_label

    def of(scores: Float[Tensor, " pair"], logits: Float[Tensor, "pair label"]) -> Tensor:
        if name == "probability":
            return torch.sigmoid(sign * scores)
        if name == "logit" and logits.shape[1] == 2:
            return logits[:, label]
        return sign * scores

    return of
