"""Path patching: what a sender tells a receiver directly, not by way of other heads.

Step 1 runs the base pairs with every head's `z` held at its base value, but for the senders,
which get theirs from the source run. What is held passes nothing on; LayerNorms and MLPs are
computed anew, so that a path may lead through them. Step 2 runs the base pairs and gives each
receiver (what a head reads with: a `q`, `k` or `v`) what it had in step 1.

    with model.hooked(*direct_path(model, base_cache, more_cache, [head(7, 9)])):
        scores = model(base)                                         # head to score
    with model.hooked(*path(model, base, base_cache, more_cache, [head(7, 9)],
                            [head(10, 1, "k")])):
        scores = model(base)                                         # head to head

Wang et al. (2022); Lu et al. (2025), section 4 and appendix.
"""

from collections.abc import Sequence
from typing import Final

from ..hooks import Cache, Hook, Hooked
from ..pairs import Pairs
from ..sites import Unit
from .patch import patch


INSIDE_ATTENTION: Final = ("normalized_resid_pre", "q", "k", "v", "attn_scores", "pattern")
# What may be held, and what then has no way to the stream of its own layer.
BEHIND: Final = {
    "z": INSIDE_ATTENTION,
    "result": (*INSIDE_ATTENTION, "z"),
    "attn_out": (*INSIDE_ATTENTION, "z", "result"),
    "mlp_out": ("mlp_pre", "mlp_post"),
}


def direct_path(
    model: Hooked,
    base: Cache,
    source: Cache,
    senders: Sequence[Unit],
    *,
    held: Sequence[str] = ("z",),
) -> tuple[Hook, ...]:
    """Under these hooks the base pairs score as if `senders` alone had changed (step 1).

    `base` holds the sites called `held` at every layer, `source` those of the senders: heads
    (`z`), writes (`attn_out`, `mlp_out`), the stream or embeddings, at any positions.
    `held=("z", "mlp_out")` closes the paths through MLPs too.

    Raises:
        ValueError: something else than a write is held, or a sender acts only through what is held.
    """
    for name in held:
        if name not in BEHIND:
            raise ValueError(f"cannot hold {name!r}: only the writes {', '.join(BEHIND)}")
    for sender in senders:
        for name in held:
            if sender.site.name in BEHIND[name]:
                raise ValueError(
                    f"{sender} reaches the rest only through {name!r}, which is held at its "
                    f"base value: send {name!r} itself"
                )
    still = [patch(Unit(site), base) for name in held for site in model.sites(name)]
    return (*still, *(patch(sender, source) for sender in senders))


def path(
    model: Hooked,
    pairs: Pairs,
    base: Cache,
    source: Cache,
    senders: Sequence[Unit],
    receivers: Sequence[Unit],
    *,
    held: Sequence[str] = ("z",),
) -> tuple[Hook, ...]:
    """Give `receivers` what `senders` tell them directly (step 1 is run here, on `pairs`).

    A receiver is what a component reads with, not what it writes: a head's `q`, `k` or `v`, at
    all positions or some, or the input of an MLP. A sender that comes after a receiver tells
    it nothing.

    Raises:
        ValueError: there is no receiver, or one of them is held.
    """
    if not receivers:
        raise ValueError("a path needs a receiver; the path to the score itself is `direct_path`")
    for receiver in receivers:
        if receiver.site.name in held:
            raise ValueError(
                f"{receiver} is held at its base value and receives nothing; receivers are what a "
                "component reads, as in head(10, 1, 'q')"
            )
    sites = sorted({receiver.site for receiver in receivers}, key=lambda site: site.depth)
    # recorded after the hooks, where a sender's site is also a receiver's
    with (
        model.hooked(*direct_path(model, base, source, senders, held=held)),
        model.record(*sites) as received,
    ):
        model(pairs)
    return tuple(patch(receiver, received) for receiver in receivers)
