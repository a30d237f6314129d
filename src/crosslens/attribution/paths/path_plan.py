"""Which paths path patching walks: where a sender's pass begins, and where a receiver's does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from ...engine.resume_points import block_outputs, resume_points, ResumePoint
from ...hooks import Hook, Hooked
from ...interventions.path import BEHIND
from ...not_measurable import NotMeasurable
from ...pairs import Pairs
from ...sites import HEAD_READS, Site, Unit


TABLES: Final = ("embed", "token_type_embed", "pos_embed")
RECEIVERS: Final = (*HEAD_READS, "mlp_pre", "mlp_pre_linear")
ATTENTION: Final = ("z", "result", "attn_out")  # held at any of them, attention adds what it did
Group = tuple[Unit, ...]  # receivers that are overwritten together; none of them: the score


@dataclass(frozen=True, eq=False)
class Paths:
    """Senders, groups of receivers, and what is held between them: the same for all pairs."""

    model: Hooked
    senders: tuple[Unit, ...]
    groups: tuple[Group, ...]
    starts: Mapping[Site, ResumePoint]  # where a sender's pass begins, by its site
    resumes: Mapping[Site, ResumePoint]  # where the base run goes on, by the receiver's site
    held: tuple[str, ...]  # the writes that blocks are given
    outputs: tuple[Site, ...]  # of every block
    reads_scored_row: bool  # the score reads the scored row of the last stream alone

    @classmethod
    def of(
        cls,
        model: Hooked,
        pairs: Pairs,
        senders: Sequence[Unit],
        groups: Sequence[Group],
        held: Sequence[str],
    ) -> "Paths":
        """Refuses what the held parts cut off."""
        for name in held:
            if name not in BEHIND:
                raise ValueError(f"cannot hold {name!r}: only the writes {', '.join(BEHIND)}")
        if not set(held) & set(ATTENTION):
            raise ValueError(
                f"held={tuple(held)} lets attention pass on what senders say: hold 'z' as well"
            )
        outputs = tuple(block_outputs(model))
        is_post = outputs[-1].name == "normalized_resid_post"
        for sender in senders:
            _refuse_sender(sender, held, outputs[-1], is_post=is_post)
        receivers = [unit for group in groups for unit in group]
        for receiver in receivers:
            if receiver.site.name not in RECEIVERS:
                raise ValueError(
                    f"{receiver} is not what a part reads: receivers are {', '.join(RECEIVERS)}, "
                    "as in head(10, 1, 'q')"
                )
        return cls(
            model,
            tuple(senders),
            tuple(groups),
            _point_of(model, senders),
            _point_of(model, receivers),
            ("attn_out", "mlp_out") if "mlp_out" in held else ("attn_out",),
            outputs,
            reads_scored_row=model.reads_scored_row,
        )

    @property
    def receivers(self) -> list[Unit]:
        """Every receiver, of whatever group."""
        return list(dict.fromkeys(unit for group in self.groups for unit in group))

    @property
    def is_of_scored_row(self) -> bool:
        """No token but the scored row matters: all paths lead to a score that reads it alone."""
        return self.reads_scored_row and not self.receivers

    @property
    def of_source(self) -> list[Site]:
        """What is recorded of the run with the signal."""
        return list(self.starts)

    @property
    def of_base(self) -> list[Site]:
        """What is recorded of the run without."""
        first = min((point.layer for point in self.starts.values()), default=0)
        needed = [*self.starts, *self.resumes, self.outputs[-1]]
        for point in [*self.starts.values(), *self.resumes.values()]:
            needed += point.needs
        if first < 0:
            known = set(self.model.sites())
            needed += [Site(name) for name in TABLES if Site(name) in known]
        needed += [s for s in self.of_held if s.depth[0] >= first]
        return list(dict.fromkeys(needed))

    @property
    def of_held(self) -> list[Site]:
        """The sites of what is held."""
        return [site for name in self.held for site in self.model.sites(name)]

    def read_at(self, unit: Unit, pairs: Pairs) -> Bool[Tensor, "pair pos"]:
        """The tokens whose part of a receiver the score can depend on."""
        there = places(unit, pairs) & pairs.attended
        is_last = unit.site.layer == len(self.outputs) - 1
        if self.reads_scored_row and is_last and unit.site.name not in ("k", "v"):
            return there & pairs.is_scored
        return there


def places(unit: Unit, pairs: Pairs) -> Bool[Tensor, "pair pos"]:
    """The tokens that a unit means: by name, by number (if there is one), or all of them."""
    at = dict(unit.coordinates).get("pos")
    if at is None:
        return torch.ones_like(pairs.attended)
    if isinstance(at, str):
        return pairs.where(at)
    there, width = torch.zeros_like(pairs.attended), pairs.token.shape[1]
    there[:, at if -width <= at < width else slice(0)] = True
    return there


def _refuse_sender(sender: Unit, held: Sequence[str], last: Site, *, is_post: bool) -> None:
    """An error for a sender that nothing can hear, or that is no sender."""
    if sender.site.is_of_decoder:
        raise NotMeasurable(
            f"{sender} is of the decoder step, which is the head of this model: paths lead through "
            "the encoder's blocks; patch it instead (`patching`)"
        )
    for name in held:
        # read by the MLP alone; after a post-LN block's first norm the stream goes on as well
        alone = ("normalized_resid_mid",) if name == "mlp_out" and not is_post else ()
        if sender.site.name in (*BEHIND[name], *alone):
            raise ValueError(
                f"{sender} reaches the rest only through {name!r}, which is held at its base "
                f"value: send {name!r} itself"
            )
    if sender.site.depth > last.depth or "pos" not in sender.site.axes:
        raise ValueError(
            f"{sender} is no sender: that is what a head, an MLP or an embedding table writes, "
            "or the stream up to the last block"
        )


def _point_of(model: Hooked, units: Sequence[Unit]) -> dict[Site, ResumePoint]:
    """The latest place from which an edit of each unit's site still acts."""
    found = resume_points(model, [[Hook(unit, Tensor.clone)] for unit in units], may_sum=False)
    return {unit.site: point for unit, point in zip(units, found, strict=True)}
