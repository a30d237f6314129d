"""Pairs of like length, so that little of a batch is padding."""

from ..pairs import Pairs


PADDED = 1.15  # the longest of a group is at most so much longer than its shortest


def like_lengths(pairs: Pairs, at_once: int | None = None) -> list[tuple[int, list[int]]]:
    """The pairs in groups of like length, `at_once` at most, each with the tokens it needs."""
    lengths = pairs.lengths.tolist()
    groups: list[list[int]] = []
    for pair in sorted(range(len(lengths)), key=lengths.__getitem__):
        is_full = not groups or len(groups[-1]) == at_once
        if is_full or lengths[pair] > PADDED * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(pair)
    return [(lengths[group[-1]], group) for group in groups]
