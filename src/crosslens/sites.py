"""Where: the tensors a cross-encoder computes, and the parts of them we name.

A *site* is one tensor of the forward pass; a *unit* is a part of a site that is read,
replaced or silenced as one thing: a head, a neuron, a position, the tokens of the query.

    Site("z", 3)                                  3.z
    Site("z", 3).at(head=7)                       3.z[head=7]
    Site("resid_pre", 4).at(pos="document")       4.resid_pre[pos=document]
    Site("pattern", 2).at(dst="cls", src="query") 2.pattern[dst=cls,src=query]
    Site("z", 3).at(pos=("query", "sep1"))        3.z[pos=query|sep1]

Hook names and meanings are those of TransformerLens' `HookedEncoder`, which the published
code uses. In attention `dst` reads and `src` is read, so that *query* keeps its one
meaning: what the user typed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """What every site of one name has in common."""

    hook: str  # the TransformerLens name; `{}` is the layer
    axes: tuple[str, ...]
    meaning: str


# The tokens of a segment or role, or of any of several: "query", ("query", "sep1").
Names = str | Sequence[str]
OR: Final = "|"  # joins them in a unit; not a plus, which ends the name of a role such as "Q+"

STREAM = ("pair", "pos", "d_model")
STEP = ("pair", "step", "d_model")  # the one token of a decoder step
STEP_PER_HEAD = ("pair", "step", "head", "d_head")
STEP_READS = ("pair", "head", "step", "src")
STEP_RESULT = ("pair", "step", "head", "d_model")
STEP_NEURONS = ("pair", "step", "neuron")
PER_HEAD = ("pair", "pos", "head", "d_head")
ATTENTION = ("pair", "head", "dst", "src")
NEURONS = ("pair", "pos", "neuron")

COMPUTED: Final = frozenset({"pos", "dst"})  # axes of the tokens that a pass computes
PLACES: Final = COMPUTED | {"src"}  # axes of the tokens of a pair, read ones too

HEAD_READS = ("q", "k", "v")  # the sites of what a head reads

# In the order in which the forward pass computes them.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "embed": Kind("hook_embed", STREAM, "the word embeddings"),
        "token_type_embed": Kind("hook_token_type_embed", STREAM, "sentence A or sentence B"),
        "pos_embed": Kind("hook_pos_embed", STREAM, "the position embeddings"),
        "full_embed": Kind(
            "hook_full_embed", STREAM, "their normalised sum: what the first block reads"
        ),
        "resid_pre": Kind("blocks.{}.hook_resid_pre", STREAM, "the input of the block"),
        "normalized_resid_pre": Kind(
            "blocks.{}.hook_normalized_resid_pre", STREAM, "pre-LN only: what attention reads"
        ),
        "q": Kind("blocks.{}.attn.hook_q", PER_HEAD, "what each head looks for, after the bias"),
        "k": Kind("blocks.{}.attn.hook_k", PER_HEAD, "what each head (or group) is found by"),
        "v": Kind("blocks.{}.attn.hook_v", PER_HEAD, "what each head (or group) passes on"),
        "attn_scores": Kind(
            "blocks.{}.attn.hook_attn_scores", ATTENTION, "masked, before the softmax"
        ),
        "pattern": Kind("blocks.{}.attn.hook_pattern", ATTENTION, "after the softmax"),
        "z": Kind("blocks.{}.attn.hook_z", PER_HEAD, "what each head read, before W_O"),
        "result": Kind(
            "blocks.{}.attn.hook_result",
            ("pair", "pos", "head", "d_model"),
            "what each head writes, after W_O; computed only while hooked",
        ),
        "attn_out": Kind("blocks.{}.hook_attn_out", STREAM, "what attention adds"),
        "resid_mid": Kind("blocks.{}.hook_resid_mid", STREAM, "resid_pre + attn_out, no norm yet"),
        "normalized_resid_mid": Kind(
            "blocks.{}.hook_normalized_resid_mid", STREAM, "its LayerNorm: what the MLP reads"
        ),
        "mlp_pre": Kind("blocks.{}.mlp.hook_pre", NEURONS, "neurons before the activation"),
        "mlp_pre_linear": Kind(
            "blocks.{}.mlp.hook_pre_linear", NEURONS, "gated MLP only: what multiplies the neurons"
        ),
        "mlp_post": Kind("blocks.{}.mlp.hook_post", NEURONS, "neurons after the activation"),
        "mlp_out": Kind("blocks.{}.hook_mlp_out", STREAM, "what the MLP adds"),
        "resid_post": Kind(
            "blocks.{}.hook_resid_post", STREAM, "the stream + mlp_out, no norm yet"
        ),
        "normalized_resid_post": Kind(
            "blocks.{}.hook_normalized_resid_post",
            STREAM,
            "post-LN only: its LayerNorm, the next block's resid_pre",
        ),
        "final_norm": Kind(
            "hook_final_norm", STREAM, "pre-LN only: the LayerNorm after the last block"
        ),
        # Encoder-decoders only (T5): one step of the decoder, which reads the encoder's output.
        "decoder_resid_pre": Kind(
            "decoder.{}.hook_resid_pre", STEP, "the input of the decoder's block"
        ),
        "decoder_z": Kind(
            "decoder.{}.attn.hook_z", STEP_PER_HEAD, "its value: the step reads itself alone"
        ),
        "decoder_result": Kind(
            "decoder.{}.attn.hook_result", STEP_RESULT, "what each of its heads writes"
        ),
        "decoder_attn_out": Kind("decoder.{}.hook_attn_out", STEP, "what they add"),
        "decoder_resid_mid": Kind("decoder.{}.hook_resid_mid", STEP, "the stream + that"),
        "cross_q": Kind(
            "decoder.{}.cross_attn.hook_q", STEP_PER_HEAD, "what each head looks for in the pair"
        ),
        "cross_k": Kind("decoder.{}.cross_attn.hook_k", PER_HEAD, "what tokens are found by"),
        "cross_v": Kind("decoder.{}.cross_attn.hook_v", PER_HEAD, "what tokens pass on"),
        "cross_attn_scores": Kind(
            "decoder.{}.cross_attn.hook_attn_scores", STEP_READS, "masked, before the softmax"
        ),
        "cross_pattern": Kind(
            "decoder.{}.cross_attn.hook_pattern", STEP_READS, "after the softmax"
        ),
        "cross_z": Kind(
            "decoder.{}.cross_attn.hook_z", STEP_PER_HEAD, "what each head read, before W_O"
        ),
        "cross_result": Kind(
            "decoder.{}.cross_attn.hook_result", STEP_RESULT, "what each head writes"
        ),
        "cross_attn_out": Kind("decoder.{}.hook_cross_attn_out", STEP, "what they add"),
        "decoder_resid_mid_cross": Kind(
            "decoder.{}.hook_resid_mid_cross", STEP, "the stream + that: what the MLP's norm reads"
        ),
        "decoder_mlp_pre": Kind(
            "decoder.{}.mlp.hook_pre", STEP_NEURONS, "neurons before the activation"
        ),
        "decoder_mlp_pre_linear": Kind(
            "decoder.{}.mlp.hook_pre_linear", STEP_NEURONS, "gated MLP only: what multiplies them"
        ),
        "decoder_mlp_post": Kind(
            "decoder.{}.mlp.hook_post", STEP_NEURONS, "neurons after the activation"
        ),
        "decoder_mlp_out": Kind("decoder.{}.hook_mlp_out", STEP, "what the MLP adds"),
        "decoder_resid_post": Kind("decoder.{}.hook_resid_post", STEP, "the stream + that"),
        "pooled": Kind(
            "head.hook_pooled", ("pair", "d_model"), "the hidden layer of the relevance head"
        ),
        "logits": Kind("head.hook_logits", ("pair", "label"), "what the score is read from"),
    }
)

BEHIND: Final = 10_000  # more than a model has blocks
ORDER: Final = {name: place for place, name in enumerate(KINDS)}


def near(name: str, known: Iterable[str]) -> str:
    """The tail of an error about `name`: the known names it may have meant."""
    known = list(known)
    close = get_close_matches(name, known, n=4, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(known)}"


class Site(NamedTuple):
    """One tensor of the forward pass: its name and, inside the blocks, its layer."""

    name: str
    layer: int | None = None

    @property
    def kind(self) -> Kind:
        """What the table of sites has for this name: hook point, axes, meaning.

        Raises:
            LookupError: no site has that name; near ones are named.
        """
        if self.name not in KINDS:
            raise LookupError(f"no site is called {self.name!r}; {near(self.name, KINDS)}")
        return KINDS[self.name]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes, in order: `("pair", "pos", "head", "d_head")` of `z`."""
        return self.kind.axes

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """How long its axes are, by the `sizes` of a model and its pairs.

        The head axis of `k` and `v` is as long as `kv_head` says: with grouped queries several
        heads share the keys and values of one.
        """
        own = {"head": "kv_head"} if self.name in ("k", "v") else {}
        return tuple(sizes[own.get(axis, axis)] for axis in self.axes)

    @property
    def hook(self) -> str:
        """The TransformerLens name of this site's hook point.

        Raises:
            LookupError: the layer is missing, or is given to a site outside the blocks.
        """
        if ("{}" in self.kind.hook) != (self.layer is not None):
            needs = "needs a layer" if self.layer is None else "stands outside the blocks"
            raise LookupError(f"{self.name!r} {needs}: {self.kind.hook}")
        return self.kind.hook.format(self.layer)

    @classmethod
    def of(cls, hook: str) -> "Site":
        """The site with this TransformerLens name: `Site.of("blocks.3.attn.hook_z")`.

        Raises:
            LookupError: no site has that hook name.
        """
        layer = re.match(r"(?:blocks|decoder)\.(\d+)\.", hook)
        general = re.sub(r"^(blocks|decoder)\.\d+\.", r"\1.{}.", hook)
        for name, kind in KINDS.items():
            if kind.hook == general:
                return cls(name, int(layer[1]) if layer else None)
        raise LookupError(f"no site has the hook name {hook!r}")

    @property
    def depth(self) -> tuple[int, int]:
        """Sorts sites by when they are computed."""
        inside = self.layer if self.layer is not None else self.outside
        return inside + BEHIND * self.is_of_decoder, ORDER[self.name]

    @property
    def is_of_decoder(self) -> bool:
        """Whether a decoder step computes it, after all blocks of the encoder."""
        return self.kind.hook.startswith("decoder.")

    @property
    def outside(self) -> int:
        """Before the first block, after any last one, or after any last one of a decoder."""
        if ORDER[self.name] < ORDER["resid_pre"]:
            return -1
        return BEHIND - 1 if self.name == "final_norm" else 2 * BEHIND

    def at(self, **coordinates: int | Names) -> "Unit":
        """The part of this site with the given named coordinates.

        A number picks one index. Along `pos`, `dst` and `src` a name picks the tokens with
        that segment or role, pair by pair: "query", "document", "Q+"; several names pick the
        tokens with any of them.
        """
        picked = {
            axis: value if isinstance(value, int | str) else OR.join(value)
            for axis, value in coordinates.items()
        }
        return Unit(self, tuple(sorted(picked.items())))

    def __str__(self) -> str:
        return self.name if self.layer is None else f"{self.layer}.{self.name}"


@dataclass(frozen=True, order=True)
class Unit:
    """A part of a site, addressed by axis name: `3.z[head=7]`.

    Raises:
        ValueError: an axis that the site lacks, or a name of tokens on an axis without positions.
    """

    site: Site
    coordinates: tuple[tuple[str, int | str], ...] = ()

    def __post_init__(self) -> None:
        for axis, value in self.coordinates:
            if axis not in self.site.axes:
                known = ", ".join(self.site.axes)
                raise ValueError(f"{self.site} has no axis {axis!r}; its axes are {known}")
            if isinstance(value, str) and axis not in PLACES:
                raise ValueError(f"{axis}={value!r}: only pos, dst and src take the name of tokens")
            if axis == "pair":
                raise ValueError("a unit is the same part of every pair; select pairs beforehand")

    @property
    def index(self) -> tuple[int | slice, ...]:
        """What to put between brackets to take this unit out of its site."""
        chosen = {axis: i for axis, i in self.coordinates if isinstance(i, int)}
        return tuple(chosen.get(axis, slice(None)) for axis in self.site.axes)

    @property
    def named(self) -> dict[str, str]:
        """The axes along which this unit is the tokens of a segment or role."""
        return {axis: name for axis, name in self.coordinates if isinstance(name, str)}

    @property
    def left(self) -> tuple[str, ...]:
        """The axes that `index` leaves."""
        numbered = {axis for axis, i in self.coordinates if isinstance(i, int)}
        return tuple(axis for axis in self.site.axes if axis not in numbered)

    def __str__(self) -> str:
        inside = ",".join(f"{axis}={i}" for axis, i in self.coordinates)
        return f"{self.site}[{inside}]" if inside else str(self.site)


def units_at(sites: Iterable[Site], axis: str, coordinates: Iterable[int | str]) -> list[Unit]:
    """Every site at every coordinate: `units_at(model.sites("z"), "pos", ["cls", "query"])`."""
    listed = list(coordinates)
    return [site.at(**{axis: coordinate}) for site in sites for coordinate in listed]


def head(layer: int, index: int, site: str = "z") -> Unit:
    """An attention head, at its output `z` by default."""
    return Site(site, layer).at(head=index)


def neuron(layer: int, index: int) -> Unit:
    """An MLP neuron, after its activation function."""
    return Site("mlp_post", layer).at(neuron=index)


def heads(written: str) -> frozenset[Unit]:
    """Heads as papers write them: `heads("1.7 5.9 10.1")`.

    Raises:
        ValueError: something is not written as layer.head.
    """
    wrong = [each for each in written.split() if not re.fullmatch(r"\d+\.\d+", each)]
    if wrong:
        raise ValueError(f"heads are written layer.head, as in '1.7 10.1'; found {wrong}")
    pairs = (each.split(".") for each in written.split())
    return frozenset(head(int(layer), int(index)) for layer, index in pairs)
