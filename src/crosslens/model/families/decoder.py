"""Decoders: every token reads those before it, and the last one is scored.

Qwen2, Qwen3, Llama, Mistral, Gemma and Gemma2 have one plan: pre-LN blocks with RMSNorm, rotary
positions, queries that share keys and values, and a gated MLP. Qwen3 normalises queries and
keys, Gemma2 what attention and the MLP write, and caps its attention scores.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import nn, Tensor

from ...pairs import Pairs
from ..attention import Context, padding_mask
from ..block import Block, PreNormBlock, SplitGatedMLP
from ..embedding import Embedding
from ..head import Head
from ..layouts import Answer
from ..tokens import LastToken
from .modernbert import RotaryAttention
from .parts import answer_map, Parts


DECODERS: Final = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2")


def parts(model: Any) -> Parts:
    """The modules of a decoder's `...ForSequenceClassification`.

    Raises:
        ValueError: its config.json declares what no family here follows.
    """
    decoder, c = model.model, model.config
    check(c)
    blocks = [block(layer, kind, c) for layer, kind in zip(decoder.layers, kinds(c), strict=True)]
    return Parts(
        embedding=Embedding(decoder.embed_tokens, nn.Identity()),
        blocks=blocks,
        head=Head(nn.Identity(), model.score),
        n_positions=c.max_position_embeddings,
        context=CausalContext(decoder.rotary_emb, getattr(c, "sliding_window", None)),
        final_norm=decoder.norm,
        scored=LastToken(c.pad_token_id),
    )


def answering(model: Any, answer: Answer) -> Parts:
    """The modules of a decoder's `...ForCausalLM`, which is scored by the logits of an answer.

    Raises:
        ValueError: its config.json declares what no family here follows.
    """
    cap = getattr(model.config, "final_logit_softcapping", None)
    if cap is not None:
        raise ValueError(
            f"the config.json of this {model.config.model_type} declares final_logit_softcapping "
            f"{cap}: its score is no linear map of the last state, and CrossLens does not follow it"
        )
    score = answer_map(model, answer)
    shell = SimpleNamespace(model=model.model, config=model.config, score=score)
    return replace(parts(shell), scored=LastToken(None))


def check(c: Any) -> None:
    """Refuse what a decoder's config.json may declare and no code here follows."""
    check_rotation(c)
    refused = {
        "is_causal": getattr(c, "is_causal", True) is False,
        "use_bidirectional_attention": getattr(c, "use_bidirectional_attention", False),
    }
    for what, is_declared in refused.items():
        if is_declared:
            raise ValueError(
                f"the config.json of this {c.model_type} declares {what}: attention in both "
                "directions, which CrossLens does not follow"
            )


def check_rotation(c: Any) -> None:
    """Refuse rotary positions that depend on the length of a batch."""
    rope = (c.rope_parameters or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        raise ValueError(
            f"the config.json of this {c.model_type} declares rope_type {rope!r}: positions by "
            "length, which CrossLens does not follow"
        )


def kinds(c: Any) -> list[str]:
    """Whether each layer reads all tokens before it, or those within the window."""
    if c.model_type == "mistral":  # all of its layers, if any
        return ["full" if c.sliding_window is None else "sliding"] * c.num_hidden_layers
    listed = getattr(c, "layer_types", None) or ["full_attention"] * c.num_hidden_layers
    return [kind.removesuffix("_attention") for kind in listed]


def block(layer: Any, kind: str, c: Any) -> Block:
    """One layer; Gemma2's has four norms, two of them behind what is written."""
    attention, mlp = DecoderAttention(layer.self_attn, c, kind), layer.mlp
    w_out, second = mlp.down_proj, layer.post_attention_layernorm
    if hasattr(layer, "pre_feedforward_layernorm"):
        attention = CappedAttention(layer.self_attn, c, kind, layer.post_attention_layernorm)
        w_out = nn.Sequential(mlp.down_proj, layer.post_feedforward_layernorm)
        second = layer.pre_feedforward_layernorm
    return PreNormBlock(
        attention,
        SplitGatedMLP(mlp.gate_proj, mlp.up_proj, mlp.act_fn, w_out),
        layer.input_layernorm,
        second,
    )


class CausalContext(nn.Module):
    """A mask for each kind of layer, and a table of rotations that all share."""

    def __init__(self, rotary: nn.Module, window: int | None):
        super().__init__()
        self.rotary, self.window = rotary, window

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        place = torch.arange(pairs.token.shape[1], device=pairs.device)
        ahead = place[:, None] - place[None, :]  # by how much the reader stands behind the read
        smallest = torch.finfo(resid.dtype).min
        full = padding_mask(pairs.attended, resid.dtype).masked_fill(ahead < 0, smallest)
        tables = {"mask full": full}
        if self.window is not None:
            tables["mask sliding"] = full.masked_fill(ahead >= self.window, smallest)
        tables["cos"], tables["sin"] = self.rotary(resid, place[None])
        return tables


class DecoderAttention(RotaryAttention):
    """Queries and keys, normalised first where the family does so, are turned by their place."""

    def __init__(self, original: Any, c: Any, kind: str):
        o = original
        super().__init__(o.q_proj, o.k_proj, o.v_proj, o.o_proj, c.num_attention_heads, kind)
        self.scale = o.scaling
        self.q_norm = getattr(o, "q_norm", None) or nn.Identity()
        self.k_norm = getattr(o, "k_norm", None) or nn.Identity()

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, context: Context
    ) -> Float[Tensor, "pair dst head d_head"]:
        """z; where a pass begins behind the first tokens, their keys and values come first."""
        if "earlier k" in context:
            k = torch.cat([context["earlier k"], k], dim=1)
            v = torch.cat([context["earlier v"], v], dim=1)
        return super().attend(q, k, v, context)

    def turned(self, q: Tensor, k: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        shared = {
            **context,
            f"cos {self.kind}": context["cos"],
            f"sin {self.kind}": context["sin"],
        }
        return super().turned(self.q_norm(q), self.k_norm(k), shared)


class CappedAttention(DecoderAttention):
    """Gemma2: scores bend towards a cap, and what the heads write is normalised together."""

    is_fusible = False
    adds_by_head = False

    def __init__(self, original: Any, c: Any, kind: str, norm: nn.Module):
        super().__init__(original, c, kind)
        self.cap, self.norm = original.attn_logit_softcapping, norm

    def products(self, q: Tensor, k: Tensor) -> Float[Tensor, "pair head dst src"]:
        products = super().products(q, k)
        return products if self.cap is None else self.cap * (products / self.cap).tanh()

    def write(self, z: Float[Tensor, "pair pos head d_head"]) -> Float[Tensor, "pair pos d_model"]:
        return self.norm(super().write(z))
