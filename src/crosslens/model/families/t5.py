"""T5 and mT5 as rerankers: the encoder reads the pair, one step of the decoder is scored.

monoT5 and RankT5 give their prompt to the encoder and a start token to the decoder, and read the
logits of the first token that would be generated. So the encoder's blocks are the blocks of the
hooked model, and the decoder step is its head: it reads every token of the encoder's output.
Positions are relative (Raffel et al., 2020): each attention score has a bias for how far its two
tokens are apart, the same in every block, and the products are not scaled.
"""

from collections.abc import Container, Mapping
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int
from torch import nn, Tensor
from transformer_lens.hook_points import HookPoint

from ...pairs import Pairs
from ..attention import Attention, Context, padding_mask
from ..block import MLP, PreNormBlock, SplitGatedMLP
from ..embedding import Embedding
from ..head import Head
from ..layouts import Answer
from ..tokens import nowhere
from .parts import answer_map, Parts


ENCODER_DECODERS: Final = ("t5", "mt5")
# Positions without a table have no largest one; a config.json may say what T5 was trained with.
LONGEST: Final = 32768


def answering(model: Any, answer: Answer) -> Parts:
    """The modules of a T5 or mT5 `...ForConditionalGeneration`, scored by the logits of an answer.

    Raises:
        ValueError: its config.json or weights are what no code here follows.
    """
    encoder, c = model.encoder, model.config
    start = start_token(model)
    check_dtypes(model)
    check_tables(model)
    scale = c.d_model**-0.5 if getattr(c, "scale_decoder_outputs", False) else 1.0
    return Parts(
        embedding=Embedding(encoder.embed_tokens, nn.Identity()),
        blocks=[block(layer) for layer in encoder.block],
        head=DecoderStep(model.decoder, start, answer_map(model, answer, scale)),
        n_positions=getattr(c, "n_positions", None) or LONGEST,
        context=RelativeContext(encoder.block[0].layer[0].SelfAttention),
        final_norm=encoder.final_layer_norm,
        scored=nowhere,
    )


def start_token(model: Any) -> int:
    """The token that the decoder is given.

    Raises:
        ValueError: config.json names none, or none of the vocabulary, or not the one that
            generation_config.json does.
    """
    c = model.config
    start = getattr(c, "decoder_start_token_id", None)
    if type(start) is not int or not 0 <= start < c.vocab_size:
        raise ValueError(
            f"the config.json of this {c.model_type} declares decoder_start_token_id {start!r}; "
            f"expected the number of one of its {c.vocab_size} tokens, with which the decoder "
            "begins (0 in every published T5)"
        )
    generates = getattr(model.generation_config, "decoder_start_token_id", None)
    if generates not in (None, start):
        raise ValueError(
            f"the config.json of this {c.model_type} declares decoder_start_token_id {start}, its "
            f"generation_config.json {generates}; which does the decoder begin with?"
        )
    return start


def check_tables(model: Any) -> None:
    """Refuse tables that a checkpoint declares to be one and stores with different numbers."""
    c, shared = model.config, model.shared.weight
    tables = {
        "encoder.embed_tokens": model.encoder.embed_tokens.weight,
        "decoder.embed_tokens": model.decoder.embed_tokens.weight,
    }
    if getattr(c, "scale_decoder_outputs", False):  # as the scores of a tied map are
        tables["lm_head"] = model.lm_head.weight
    for name, table in tables.items():
        if table is not shared and not torch.equal(table, shared):
            raise ValueError(
                f"this {c.model_type} shares its word embeddings with {name}, and the two hold "
                "different numbers; which of them scores? Save it with one table, or, if its "
                "output map is its own, with tie_word_embeddings and scale_decoder_outputs false"
            )


def check_output_map(name: str, raw: Mapping[str, Any], stored: Container[str]) -> None:
    """Refuse a checkpoint that declares an output map of its own and holds none.

    Raises:
        ValueError: so it is; the word embeddings would stand in for it.
    """
    if raw.get("tie_word_embeddings") is False and "lm_head.weight" not in stored:
        raise ValueError(
            f"{name}/config.json declares tie_word_embeddings false, and no file holds the output "
            "map lm_head.weight: the word embeddings would score in its place"
        )


def check_dtypes(model: Any) -> None:
    """Refuse weights of several precisions, which transformers makes of a T5 in 16 bit."""
    kinds = sorted({str(value.dtype) for value in model.parameters()})
    if len(kinds) > 1:
        raise ValueError(
            f"the weights of this {model.config.model_type} are {' and '.join(kinds)}; give them "
            "in one precision, as model.float() does"
        )


def block(layer: Any) -> PreNormBlock:
    """One layer of the encoder."""
    reads, thinks = layer.layer
    return PreNormBlock(
        attention(reads.SelfAttention, RelativeAttention),
        mlp(thinks.DenseReluDense),
        reads.layer_norm,
        thinks.layer_norm,
    )


class RelativeAttention(Attention):
    """Scores are products and a bias for the distance of two tokens, which the mask holds."""

    is_linear = False


def attention(original: Any, kind: type[Attention] = Attention) -> Attention:
    """The original's maps, with products that are not scaled."""
    o = original
    made = kind(o.q, o.k, o.v, o.o, o.n_heads)
    made.scale = o.scaling
    return made


def mlp(original: Any) -> MLP:
    """ReLU neurons in T5, gated ones in T5 1.1 and mT5."""
    o = original
    if hasattr(o, "wi_1"):
        return SplitGatedMLP(o.wi_0, o.wi_1, o.act, o.wo)
    return MLP(o.wi, o.act, o.wo)


class RelativeContext(nn.Module):
    """The mask, and in it the bias for the distance of two tokens, which all blocks share."""

    def __init__(self, first: Any):
        super().__init__()
        self.first = first  # the attention of the first block, which holds the table

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        n = pairs.token.shape[1]
        bias: Float[Tensor, "1 head dst src"] = self.first.compute_bias(n, n, device=resid.device)
        return {"mask": padding_mask(pairs.attended, resid.dtype) + bias}


class DecoderStep(Head):
    """The first step of the decoder, from its start token alone, to the logit of the answer."""

    def __init__(self, decoder: Any, start: int, out: nn.Linear):
        super().__init__(decoder.final_layer_norm, out, reads_scored_row=False)
        self.words, self.start = decoder.embed_tokens, start
        self.decoder = nn.ModuleList(StepBlock(layer) for layer in decoder.block)

    def forward(
        self,
        resid: Float[Tensor, "pair pos d_model"],
        attended: Bool[Tensor, "pair pos"],
        scored: Int[Tensor, " pair"],
    ) -> Float[Tensor, "pair label"]:
        context = {"mask": padding_mask(attended, resid.dtype)}
        step = self.words.weight[self.start].repeat(len(resid), 1, 1)
        for block in self.decoder:
            step = block(step, resid, context)
        return self.logits(self.hidden(step[:, 0]))


class StepBlock(nn.Module):
    """A block of the decoder at its first token: it reads that, then the encoder's output."""

    def __init__(self, layer: Any):
        super().__init__()
        reads, crosses, thinks = layer.layer
        self.attn = attention(reads.SelfAttention, OwnAttention)
        self.cross_attn = attention(crosses.EncDecAttention)
        self.mlp = mlp(thinks.DenseReluDense)
        self.norm1, self.norm_cross = reads.layer_norm, crosses.layer_norm
        self.norm2 = thinks.layer_norm
        self.hook_resid_pre, self.hook_attn_out = HookPoint(), HookPoint()
        self.hook_resid_mid, self.hook_cross_attn_out = HookPoint(), HookPoint()
        self.hook_resid_mid_cross, self.hook_mlp_out = HookPoint(), HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(
        self,
        step: Float[Tensor, "pair 1 d_model"],
        encoded: Float[Tensor, "pair pos d_model"],
        context: Context,
    ) -> Float[Tensor, "pair 1 d_model"]:
        step = self.hook_resid_pre(step)
        z = self.attn.hook_z(self.attn.split(self.attn.v(self.norm1(step))))
        step = self.hook_resid_mid(step + self.hook_attn_out(self.attn.write(z)))
        cross = self.cross_attn
        z = cross.hook_z(cross.read(self.norm_cross(step), encoded, context))
        step = self.hook_resid_mid_cross(step + self.hook_cross_attn_out(cross.write(z)))
        return self.hook_resid_post(step + self.hook_mlp_out(self.mlp(self.norm2(step))))


class OwnAttention(Attention):
    """One token that reads itself alone: its pattern is 1, and z is what v holds."""

    def __init__(self, *maps: Any):
        super().__init__(*maps)
        for name in ("q", "k", "v", "attn_scores", "pattern"):  # nothing passes there
            delattr(self, f"hook_{name}")
