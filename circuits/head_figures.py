"""Figures about the heads of a role: whether there are any, and whether they carry a match."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float

from crosslens import Unit
from crosslens.attribution import patch_together

from .evidence import Evidence
from .figure import Figure, mean_of
from .thresholds import CARRIED, REACTION_LEVEL


DRAWS: Final = 10  # sets of other heads beside the members


def rise(evidence: Evidence) -> Figure:
    """Whether the score rises with an exact match: the reaction that a mechanism would explain."""
    row = evidence.reaction("TFC1")
    return Figure(
        "rise of the score with an exact match",
        float(row["change"]),
        float(row["low"]),
        float(row["high"]),
        control=float(row["control"]),
        n=int(row["pairs"]),
        expected=f"a reaction: at least {row['least']:.2g}, and beyond a random word with p below "
        f"{REACTION_LEVEL} (it is {row['p']:.2g})",
        holds=bool(row["reacts"] and row["change"] > 0),
    )


def found(evidence: Evidence, role: str) -> list[Figure]:
    """Does the model react to a match, and are there heads with this role on the way?"""
    reaction = rise(evidence)
    if not reaction.holds:
        return [reaction]
    number = len(evidence.members(role))
    heads = Figure(
        f"{role} heads in the chain",
        float(number),
        n=len(evidence.tfc1),
        expected="at least 1",
        holds=number > 0,
    )
    return [reaction, heads]


def carried(evidence: Evidence, role: str) -> Figure:
    """What the heads of a role restore of an added match, patched together.

    The test that no head passes by its attention: one that reads and writes nothing restores
    nothing.
    """
    members = evidence.members(role)
    joint = patch_together(evidence.model, evidence.tfc1, members, draws=DRAWS, seed=evidence.seed)
    return mean_of(
        f"share of an added match that {heads_restore(len(members))}, patched together",
        joint.recovered,
        control=mean_over_heads(joint.by_chance),  # here over sets
        expected=f"above {CARRIED} and above as many other heads",
        holds=lambda low, high, control: low > max(CARRIED, control),
        seed=evidence.seed,
    )


def beside(
    evidence: Evidence,
    name: str,
    values: Float[np.ndarray, "head pair"],
    members: Sequence[Unit],
    *,
    expected: str = "",
    holds: Callable[[float, float, float], bool] | None = None,
) -> Figure:
    """The mean of members over pairs, beside that of all other heads."""
    is_member = np.array([unit in members for unit in evidence.model.heads()])
    return mean_of(
        name,
        mean_over_heads(values[is_member]),
        control=mean_over_heads(values[~is_member]),
        expected=expected,
        holds=holds,
        seed=evidence.seed,
    )


def heads_restore(n: int) -> str:
    """The number of heads, with its verb."""
    return "1 head restores" if n == 1 else f"{n} heads restore"


def mean_over_heads(values: Float[np.ndarray, "head pair"]) -> Float[np.ndarray, " pair"]:
    """The mean over the heads that have a value; nan for a pair in which none has."""
    there = ~np.isnan(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)
