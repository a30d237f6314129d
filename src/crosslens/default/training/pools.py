"""Pools: a query, documents near it, and the score each should get.

The target is the teacher's blend on the scale of a logit, plus a bonus for a judged grade. Pools
are made once, kept in one file, and sampled list by list in training.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ...writing import write_whole


@dataclass(frozen=True)
class Pool:
    """One query's documents, as indices into the texts, and their targets (logits)."""

    query: int
    documents: Int[np.ndarray, " doc"]
    targets: Float[np.ndarray, " doc"]
    source: str


@dataclass(frozen=True)
class Pools:
    """Texts, each stored once, and the pools over them."""

    texts: tuple[str, ...]
    pools: tuple[Pool, ...]

    def save(self, path: Path) -> None:
        """One compressed file of plain arrays; whole or absent."""
        names = sorted({pool.source for pool in self.pools})
        content = io.BytesIO()
        np.savez_compressed(
            content,
            texts=np.frombuffer("\n".join(map(_one_line, self.texts)).encode(), dtype=np.uint8),
            query=np.array([pool.query for pool in self.pools]),
            length=np.array([len(pool.documents) for pool in self.pools]),
            documents=np.concatenate([pool.documents for pool in self.pools]),
            targets=np.concatenate([pool.targets for pool in self.pools]).astype(np.float32),
            source=np.array([names.index(pool.source) for pool in self.pools]),
            names=np.frombuffer("\n".join(names).encode(), dtype=np.uint8),
        )
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Pools":
        with np.load(path) as kept:
            arrays = {name: kept[name] for name in kept.files}
        names = arrays["names"].tobytes().decode().split("\n")
        ends = np.cumsum(arrays["length"])[:-1]
        return cls(
            tuple(arrays["texts"].tobytes().decode().split("\n")),
            tuple(
                Pool(int(query), documents, targets, names[source])
                for query, documents, targets, source in zip(
                    arrays["query"],
                    np.split(arrays["documents"], ends),
                    np.split(arrays["targets"], ends),
                    arrays["source"],
                    strict=True,
                )
            ),
        )

    @classmethod
    def join(cls, parts: Sequence["Pools"]) -> "Pools":
        """All pools of `parts`, over one table in which no text stands twice."""
        place: dict[str, int] = {}
        joined = []
        for part in parts:
            at = np.array([place.setdefault(_one_line(t), len(place)) for t in part.texts])
            joined.extend(
                Pool(int(at[p.query]), at[p.documents], p.targets, p.source) for p in part.pools
            )
        return cls(tuple(place), tuple(joined))


def _one_line(text: str) -> str:
    return " ".join(text.split())
