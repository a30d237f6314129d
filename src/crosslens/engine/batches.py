"""Batches of pairs of like length, so that little of a batch is padding."""

from ..pairs import Pairs


def batches_by_length(pairs: Pairs, at_once: int) -> list[list[int]]:
    """The indices of `pairs`, shortest first, in batches of `at_once`.

    Raises:
        ValueError: `at_once` is below 1.
    """
    require_one(at_once)
    return [rows.tolist() for rows in pairs.lengths.argsort().split(at_once)]


def require_one(at_once: int) -> None:
    """Refuse a batch without pairs.

    Raises:
        ValueError: `at_once` is below 1.
    """
    if at_once < 1:
        raise ValueError(f"at_once={at_once}: take one pair at least")
