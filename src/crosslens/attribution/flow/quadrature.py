"""Rules for integrating along a path on which both the slope and the activation are known.

Conductance is a Stieltjes integral, of the slope g(t) over the change of an activation y(t).
With both known at the nodes t_k, every rule is a bilinear form

    integral of g dy  =  sum over k, j of  weight[k, j]  g(t_k)  y(t_j)

so a rule is its nodes and its weights, and one loop serves them all.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre


@dataclass(frozen=True)
class Panel:
    """A stretch of the path: where to evaluate, and how to add up."""

    nodes: Float[np.ndarray, " node"]  # in [0, 1], along the whole path
    weight: Float[np.ndarray, "slope node"]


def trapezoid(steps: int, *, per_panel: int = 16) -> list[Panel]:
    """`steps` equal steps, each the mean slope of its ends times the change between them.

    The error falls with the square of the number of steps.
    """
    if steps < 1:
        raise ValueError(f"a path needs at least one step, not {steps}")
    edges = np.linspace(0, 1, steps + 1)
    panels = []
    for first in range(0, steps, per_panel):
        nodes = edges[first : first + per_panel + 1]
        n = len(nodes)
        means = (np.eye(n)[:-1] + np.eye(n)[1:]) / 2
        changes = np.eye(n)[1:] - np.eye(n)[:-1]
        panels.append(Panel(nodes, means.T @ changes))
    return panels


def gauss_legendre(steps: int, *, per_panel: int = 12) -> list[Panel]:
    """Gauss-Legendre nodes; the activation's own slope comes from its interpolant.

    Where the path is smooth the error falls faster than any power of the number of steps, so
    it reaches a small error with the fewest passes.
    """
    if steps < 2:
        raise ValueError(f"an interpolant needs at least two nodes, not {steps}")
    n_panels = min(-(-steps // per_panel), steps // 2)
    edges = np.linspace(0, 1, n_panels + 1)
    share = [steps // n_panels + (i < steps % n_panels) for i in range(n_panels)]
    panels = []
    for low, high, n in zip(edges[:-1], edges[1:], share, strict=True):
        x, w = legendre.leggauss(n)
        # dt cancels: the weights shrink with the panel, the slope of y grows with it
        panels.append(Panel(low + (high - low) * (x + 1) / 2, w[:, None] * differentiation(x)))
    return panels


def differentiation(x: Float[np.ndarray, " node"]) -> Float[np.ndarray, "slope node"]:
    """The matrix that takes values at nodes to the slopes of their interpolant there.

    Barycentric form (Berrut and Trefethen, 2004, eq. 9.4).
    """
    gap = x[:, None] - x[None, :] + np.eye(len(x))
    barycentric = 1 / gap.prod(axis=1)
    matrix = barycentric[None, :] / barycentric[:, None] / gap
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix
