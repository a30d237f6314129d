"""What the reranker is asked to match: the targets of a list, as a ranking and as distances.

Both terms ignore a constant added to a whole list, as a ranking does.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def ranking(scores: Float[Tensor, " doc"], targets: Float[Tensor, " doc"]) -> Float[Tensor, ""]:
    """The divergence from the targets' softmax to the scores': which documents come first.

    Distillation (Hinton et al. 2015, arXiv:1503.02531) with a list's documents as the classes.
    """
    return torch.nn.functional.kl_div(
        torch.log_softmax(scores, dim=-1),
        torch.log_softmax(targets, dim=-1),
        reduction="sum",
        log_target=True,
    )


def margins(scores: Float[Tensor, " doc"], targets: Float[Tensor, " doc"]) -> Float[Tensor, ""]:
    """The mean squared error of a list's differences: how far apart its documents are.

    Margin-MSE (Hofstätter et al. 2020, arXiv:2010.02666) over all pairs of documents, halved: the
    mean of (e_i - e_j)^2 / 2 over i and j is the variance of the errors e.
    """
    return (scores - targets).var(correction=0)
