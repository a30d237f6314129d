"""Blocks: attention, then an MLP, each added to the residual stream.

A post-LN block (BERT) normalises after each addition, a pre-LN block (ModernBERT) before
each reading. Both are written in parts, so that a sweep can enter between them, with all
that comes before taken from a cache: at the block's input, at the attention scores, the
pattern, z, the stream after attention, or what the MLP writes.

In the last block of a model that reads its score from one row, only that row matters. The
others are dropped at the first point from which no hook watches or edits them.
"""

from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import nn, Tensor
from transformer_lens.hook_points import HookPoint

from ..pairs import row_at
from .attention import Attention, Context, first_row, quiet


class MLP(nn.Module):
    """Neurons read the stream through W_in, act, and write to it through W_out."""

    # W_out is a linear map, with Gemma2's norm behind it.
    def __init__(self, w_in: nn.Linear, act: Callable[[Tensor], Tensor], w_out: Any):
        super().__init__()
        self.w_in, self.w_out = w_in, w_out
        self.act = act
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "pair pos d_model"]) -> Float[Tensor, "pair pos d_model"]:
        return self.w_out(self.hook_post(self.neurons(x)))

    def neurons(self, x: Tensor) -> Float[Tensor, "pair pos neuron"]:
        return self.act(self.hook_pre(self.w_in(x)))

    @property
    def points(self) -> tuple[HookPoint, ...]:
        return self.hook_pre, self.hook_post

    @property
    def n_neurons(self) -> int:
        """How many neurons there are."""
        return self.w_out.in_features


class GatedMLP(MLP):
    """Half of W_in is the neurons, the other half a gate that multiplies them (GLU)."""

    def __init__(self, w_in: nn.Linear, act: Callable[[Tensor], Tensor], w_out: Any):
        super().__init__(w_in, act, w_out)
        self.hook_pre_linear = HookPoint()

    def neurons(self, x: Tensor) -> Float[Tensor, "pair pos neuron"]:
        pre, gate = self.w_in(x).chunk(2, dim=-1)
        return self.act(self.hook_pre(pre)) * self.hook_pre_linear(gate)

    @property
    def points(self) -> tuple[HookPoint, ...]:
        return *super().points, self.hook_pre_linear


class SplitGatedMLP(GatedMLP):
    """The gate is a linear map of its own, as in decoders; TransformerLens calls its half `pre`."""

    def __init__(
        self, w_in: nn.Linear, linear: nn.Linear, act: Callable[[Tensor], Tensor], w_out: Any
    ):
        super().__init__(w_in, act, w_out)
        self.linear = linear

    def neurons(self, x: Tensor) -> Float[Tensor, "pair pos neuron"]:
        pre, linear = self.w_in(x), self.linear(x)
        return self.act(self.hook_pre(pre)) * self.hook_pre_linear(linear)

    @property
    def n_neurons(self) -> int:
        return self.w_in.out_features


class Block(nn.Module):
    """What both kinds of block share: their parts, and the order of the two halves."""

    mlp_adds_to: str  # the site to which the MLP's write is added

    def __init__(self, attn: Attention, mlp: MLP, norm1: nn.Module, norm2: nn.Module):
        super().__init__()
        self.attn, self.mlp, self.norm1, self.norm2 = attn, mlp, norm1, norm2
        # On the last block, when the score reads the scored row alone: the hook points between
        # it and the head.
        self.before_scored_row: tuple[HookPoint, ...] | None = None
        self.narrow_in = set[
            int
        ]()  # threads that narrow whoever watches: `CrossEncoder.scored_row_only`
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()
        self.hook_resid_mid, self.hook_normalized_resid_mid = HookPoint(), HookPoint()

    def forward(
        self, resid: Float[Tensor, "pair pos d_model"], context: Context
    ) -> Float[Tensor, "pair row d_model"]:
        resid = self.hook_resid_pre(resid)
        return self.second_half(resid, self.first_half(resid, context), context)

    def resume(
        self, given: Mapping[str, Tensor], context: Context, written: Tensor | None = None
    ) -> Float[Tensor, "pair row d_model"]:
        """The output when the sites `given` by name are computed already.

        The pass begins at the last of them, at its hook point. Given are the block's input and
        `z` or `attn_out`, or that and `v` and `pattern` or `attn_scores`, or that and `q`, `k` and
        `v`; or `resid_mid` alone; or `mlp_out` and what it is added to; or the block's input
        alone. `written` is what the MLP adds, whatever it reads, where attention is given.
        """
        if "mlp_out" in given:
            return self.finish(given[self.mlp_adds_to], given["mlp_out"], context)
        if "resid_mid" in given:
            return self.think(self.hook_resid_mid(given["resid_mid"]), context, written)
        resid = given["resid_pre"]
        if "z" in given:
            return self.second_half(resid, given["z"], context, written)
        if "attn_out" in given:
            mid = self.hook_attn_out(given["attn_out"]) + resid
            return self.think(self.hook_resid_mid(mid), context, written)
        if "pattern" in given or "attn_scores" in given:
            return self.second_half(resid, self.read_from(given, context), context)
        if "q" in given:
            z = self.attn.attend(given["q"], given["k"], given["v"], context)
            return self.second_half(resid, z, context)
        return self(resid, context)

    def read_from(
        self, given: Mapping[str, Tensor], context: Context
    ) -> Float[Tensor, "pair dst head d_head"]:
        """z, before its hook point, from `v` and the scores or the pattern."""
        a = self.attn
        later = (a.hook_z, a.hook_result, self.hook_attn_out, *self._after_attention())
        if "pattern" in given:
            pattern = a.hook_pattern(given["pattern"])
        else:
            scores = a.hook_attn_scores(given["attn_scores"])
            if self.may_narrow(a.hook_pattern, *later):
                scores = scored_reader(scores, context)
            pattern = a.hook_pattern(scores.softmax(dim=-1))
        if self.may_narrow(*later):
            pattern = scored_reader(pattern, context)
        return a.mix(pattern, given["v"])

    def first_half(
        self, resid: Float[Tensor, "pair pos d_model"], context: Context
    ) -> Float[Tensor, "pair dst head d_head"]:
        """From the block's input to z, before its hook point."""
        raise NotImplementedError

    def show_reads(self, resid: Float[Tensor, "pair pos d_model"]) -> None:
        """Show whoever watches `q`, `k` or `v` what the heads would read of the block's input."""
        a = self.attn
        resid = self.hook_resid_pre(resid)
        watched = [
            (read, point)
            for read, point in ((a.q, a.hook_q), (a.k, a.hook_k), (a.v, a.hook_v))
            if not quiet(point)
        ]
        if watched:
            x = self.attention_reads(resid)
            for read, point in watched:
                point(a.split(read(x)))

    def attention_reads(self, resid: Tensor) -> Float[Tensor, "pair pos d_model"]:
        """What attention makes its queries, keys and values of: the block's input, or its norm."""
        return resid

    def second_half(
        self,
        resid: Float[Tensor, "pair pos d_model"],
        z: Float[Tensor, "pair dst head d_head"],
        context: Context,
        written: Tensor | None = None,
    ) -> Float[Tensor, "pair row d_model"]:
        """From z and the block's input to its output."""
        z = self.attn.hook_z(z)
        later = (self.attn.hook_result, self.hook_attn_out, *self._after_attention())
        z = self.narrowed(z, context, *later)
        written_by_heads = self.hook_attn_out(self.attn.write(z))
        mid = self.hook_resid_mid(written_by_heads + same_rows(resid, z, context))
        return self.think(mid, context, written)

    # Where the norms stand: what a reading and an addition do to the stream besides.

    def before_attention(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream as q, k and v read it."""
        return x

    def after_attention(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream once attention was added to it, as it goes on."""
        return x

    def before_mlp(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream as the MLP reads it."""
        return x

    def after_mlp(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream once the MLP was added to it, as it goes on."""
        return x

    def think(
        self,
        mid: Float[Tensor, "pair pos d_model"],
        context: Context,
        written: Tensor | None = None,
    ) -> Float[Tensor, "pair row d_model"]:
        """From the stream after attention to the block's output; the MLP's may be `written`."""
        raise NotImplementedError

    def thought(self, x: Tensor, written: Tensor | None) -> Float[Tensor, "pair row d_model"]:
        """The MLP's output, or `written` when it is held fixed.

        Its neurons are still computed if one of their hook points is in use.
        """
        if written is None:
            return self.mlp(x)
        if not quiet(*self.mlp.points):
            self.mlp.neurons(x)
        return written

    def finish(
        self,
        stream: Float[Tensor, "pair pos d_model"],
        written: Float[Tensor, "pair pos d_model"],
        context: Context,
    ) -> Float[Tensor, "pair row d_model"]:
        """From what the MLP writes, and the stream it is added to, to the block's output."""
        raise NotImplementedError

    def added(self, stream: Tensor, written: Tensor, context: Context, *later: HookPoint) -> Tensor:
        """The MLP's output added to the stream, in the rows that are needed from there on."""
        written = self.narrowed(self.hook_mlp_out(written), context, self.hook_resid_post, *later)
        return self.hook_resid_post(written + same_rows(stream, written, context))

    def readers(
        self, x: Float[Tensor, "pair pos d_model"], context: Context
    ) -> Float[Tensor, "pair row d_model"]:
        """The positions whose attention is worth computing."""
        return x if self.attn.is_square else self.narrowed(x, context, *self._attention_points())

    def narrowed(self, x: Tensor, context: Context, *later: HookPoint) -> Tensor:
        """The scored row of `x` where nothing else matters from here on, else all of it."""
        if x.shape[1] == 1 or not self.may_narrow(*later):
            return x
        return row_at(x, context["scored"] - first_row(context))

    def may_narrow(self, *later: HookPoint) -> bool:
        """Only the scored row matters from here on, and no later hook point is in use."""
        if self.before_scored_row is None:
            return False
        return get_ident() in self.narrow_in or quiet(*later, *self.before_scored_row)

    def _after_attention(self) -> tuple[HookPoint, ...]:
        return (self.hook_resid_mid, *self._from_mlp())

    def _from_mlp(self) -> tuple[HookPoint, ...]:
        """The hook points from the input of the MLP to the end of the block."""
        return (
            self.hook_normalized_resid_mid,
            *self.mlp.points,
            self.hook_mlp_out,
            self.hook_resid_post,
        )

    def _attention_points(self) -> tuple[HookPoint, ...]:
        """The hook points of which every position has its own row, from q to attn_out."""
        a = self.attn
        inside = (a.hook_q, a.hook_attn_scores, a.hook_pattern, a.hook_z, a.hook_result)
        return (*inside, self.hook_attn_out, *self._after_attention())


class PostNormBlock(Block):
    """Add, then normalise: BERT and its kin."""

    mlp_adds_to = "normalized_resid_mid"

    def __init__(self, attn: Attention, mlp: MLP, norm1: nn.Module, norm2: nn.Module):
        super().__init__(attn, mlp, norm1, norm2)
        self.hook_normalized_resid_post = HookPoint()

    def after_attention(self, x: Tensor) -> Float[Tensor, "... d_model"]:
        return self.norm1(x)

    def after_mlp(self, x: Tensor) -> Float[Tensor, "... d_model"]:
        return self.norm2(x)

    def first_half(self, resid: Tensor, context: Context) -> Float[Tensor, "pair dst head d_head"]:
        return self.attn.read(self.readers(resid, context), resid, context)

    def think(
        self, mid: Tensor, context: Context, written: Tensor | None = None
    ) -> Float[Tensor, "pair row d_model"]:
        mid = self.narrowed(mid, context, *self._from_mlp())
        x = self.hook_normalized_resid_mid(self.after_attention(mid))
        return self.finish(x, self.thought(x, written), context)

    def finish(
        self, stream: Tensor, written: Tensor, context: Context
    ) -> Float[Tensor, "pair row d_model"]:
        post = self.added(stream, written, context, self.hook_normalized_resid_post)
        return self.hook_normalized_resid_post(self.after_mlp(post))

    def _from_mlp(self) -> tuple[HookPoint, ...]:
        return (*super()._from_mlp(), self.hook_normalized_resid_post)


class PreNormBlock(Block):
    """Normalise, then read; the stream itself is never normalised: ModernBERT."""

    mlp_adds_to = "resid_mid"

    def __init__(self, attn: Attention, mlp: MLP, norm1: nn.Module, norm2: nn.Module):
        super().__init__(attn, mlp, norm1, norm2)
        self.hook_normalized_resid_pre = HookPoint()

    def before_attention(self, x: Tensor) -> Float[Tensor, "... d_model"]:
        return self.norm1(x)

    def before_mlp(self, x: Tensor) -> Float[Tensor, "... d_model"]:
        return self.norm2(x)

    def first_half(self, resid: Tensor, context: Context) -> Float[Tensor, "pair dst head d_head"]:
        x = self.attention_reads(resid)
        return self.attn.read(self.readers(x, context), x, context)

    def attention_reads(self, resid: Tensor) -> Float[Tensor, "pair pos d_model"]:
        x = self.before_attention(resid)
        if x is resid:  # ModernBERT's first norm does nothing, and an edit in place of what
            x = resid.clone()  # attention reads must not reach the stream
        return self.hook_normalized_resid_pre(x)

    def think(
        self, mid: Tensor, context: Context, written: Tensor | None = None
    ) -> Float[Tensor, "pair row d_model"]:
        mid = self.narrowed(mid, context, *self._from_mlp())
        x = self.hook_normalized_resid_mid(self.before_mlp(mid))
        return self.finish(mid, self.thought(x, written), context)

    def finish(
        self, stream: Tensor, written: Tensor, context: Context
    ) -> Float[Tensor, "pair row d_model"]:
        return self.added(stream, written, context)


def same_rows(x: Tensor, other: Tensor, context: Context) -> Float[Tensor, "pair row d_model"]:
    """The rows of the stream `x` that `other` has: all, or the scored row."""
    if other.shape[1] == x.shape[1]:
        return x
    return row_at(x, context["scored"] - first_row(context))


def scored_reader(
    scores: Float[Tensor, "pair head dst src"], context: Context
) -> Float[Tensor, "pair head 1 src"]:
    """What the scored row reads, of attention scores or of a pattern."""
    readers = rearrange(scores, "pair head dst src -> pair dst head src")
    row = row_at(readers, context["scored"] - first_row(context))
    return rearrange(row, "pair dst head src -> pair head dst src")
