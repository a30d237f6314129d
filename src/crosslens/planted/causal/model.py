"""A decoder that is BM25: a standard Llama classifier whose every weight is known.

    score = Σ_{t in q} IDF(t) · tf / (tf + k1)

Terms are WordPieces and IDF is Lucene's, as in `signals.bm25`, with b = 0: a document token sees
what stands before it, and cannot know how long the document will be. A term that the query
repeats counts once (Robertson's k3 = 0). The layout is `[CLS] query [SEP] document [SEP]`; the
score is read at the last token, and in between document tokens read the query, never the other
way. Nothing turns with position: rotary positions are divided by 10¹².

After k occurrences of a term k1 / (k + k1) is left to the limit 1. A document token knows how many
there were up to itself, so that the k-th can tell what was left before it and what is after it;
the difference is what it adds, and the differences telescope:

    Σ_{k ≤ tf}  k1 / (k − 1 + k1)  −  k1 / (k + k1)   =   1 − k1 / (tf + k1)   =   tf / (tf + k1)

    segment     a token that can see a [SEP] is in the document
    matching    one head reads, of a term of the query,  IDF · k1 / (k − 1 + k1),
                another takes off                        IDF · k1 / (k + k1)
    scoring     the last token adds up the document

Before that, a neuron gives query tokens their IDF to be read, and a head and a neuron hide those
whose term the query had before. What is left of a difference to BM25 is the factor
1 / (1 + |d| / e²⁰) and rounding.
"""

from itertools import product
from typing import Any, Final

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from ...circuit import Circuit
from ..codes import coded_terms
from ..parts import busy_head, HeadWeights
from ..placement import Place
from ..space import UNREAD
from ..tokenizer import CLS, N_POSITIONS, PAD, SEP, tokenizer
from ..vocabulary import Lexicon
from .parts import (
    busy_neuron,
    D_HEAD,
    GatedNeuronWeights,
    match_neuron,
    matching_head,
    rarity_neuron,
    repetition_head,
    repetition_neuron,
    scoring_head,
    segment_head,
)
from .placement import CausalPlacement, place
from .recipe import CausalRecipe
from .space import CausalSpace
from .truth import circuit


UNTURNED: Final = 1e12  # by how much positions are divided: no pair turns by more than 1e-9


def made(
    name: str, recipe: CausalRecipe, lexicon: Lexicon
) -> tuple[LlamaForSequenceClassification, PreTrainedTokenizerFast, Circuit, CausalPlacement]:
    """The model of a recipe, its tokenizer, its circuit, and where the parts sit."""
    at, space = place(recipe), CausalSpace.of(recipe.heads)
    model = empty(recipe, lexicon, space.d_model)
    embed(model, space, lexicon, recipe)
    build(model, space, at, recipe)
    reads = tokenizer(lexicon.pieces, inputs=("input_ids", "attention_mask"))
    return model, reads, circuit(name, at, space), at


def empty(recipe: CausalRecipe, lexicon: Lexicon, d_model: int) -> LlamaForSequenceClassification:
    """A sequence classifier whose every weight is 0."""
    config = LlamaConfig(
        vocab_size=len(lexicon.pieces),
        hidden_size=d_model,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        head_dim=D_HEAD,
        intermediate_size=recipe.neurons,
        hidden_act="relu",
        max_position_embeddings=N_POSITIONS,
        rms_norm_eps=1e-12,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={"rope_type": "linear", "rope_theta": 10_000.0, "factor": UNTURNED},
        pad_token_id=lexicon.pieces.index(PAD),
        bos_token_id=lexicon.pieces.index(CLS),
        eos_token_id=lexicon.pieces.index(SEP),
    )
    config.num_labels = 1
    model = LlamaForSequenceClassification(config).eval()
    for weight in model.parameters():
        weight.zero_()
    return model


def embed(
    model: LlamaForSequenceClassification,
    space: CausalSpace,
    lexicon: Lexicon,
    recipe: CausalRecipe,
) -> None:
    """Write the embeddings: identity code and IDF."""
    words = model.model.embed_tokens.weight
    terms, code, idf = coded_terms(lexicon, recipe.seed)
    words[terms] = code @ space.code + idf[:, None] * space.write("idf")
    words[lexicon.pieces.index(CLS)] = space.write("cls")
    words[lexicon.pieces.index(SEP)] = space.write("sep")
    words += space.constant


def build(
    model: LlamaForSequenceClassification,
    space: CausalSpace,
    at: CausalPlacement,
    recipe: CausalRecipe,
) -> None:
    """Write the parts where they belong, and let every RMSNorm pass them on."""
    blocks: list[Any] = list(model.model.layers)
    for block in blocks:
        space.linearise(block.input_layernorm)
        space.linearise(block.post_attention_layernorm)
    space.linearise(model.model.norm)

    def head(place: Place) -> HeadWeights:
        layer, index = place
        o = blocks[layer].self_attn
        return HeadWeights.of(o.q_proj, o.k_proj, o.v_proj, o.o_proj, index, D_HEAD)

    def neuron(place: Place) -> GatedNeuronWeights:
        layer, index = place
        return GatedNeuronWeights.of(blocks[layer].mlp, index)

    k1, tf, unread = recipe.k1, space.write("tf"), space.write(UNREAD)
    left_before, left_after = at.matchers
    segment_head(head(at.segment), space)
    repetition_head(head(at.repetition), space)
    repetition_neuron(neuron(at.repetition_neuron), space)
    rarity_neuron(neuron(at.rarity), space, writes=space.write("query idf"))
    matching_head(head(left_before), space, weight=k1 - 1, writes=k1 / (k1 - 1) * tf)
    matching_head(head(left_after), space, weight=k1, writes=-tf)
    scoring_head(head(at.scoring), space)
    for decoy in at.decoy_heads:
        matching_head(head(decoy), space, weight=k1, writes=0 * tf)
    for talker in at.talkers:
        matching_head(head(talker), space, weight=k1, writes=unread)
    for decoy in at.decoy_neurons:
        if decoy[0] < at.matching[0]:  # nothing is matched yet: it can only look like the rarity's
            rarity_neuron(neuron(decoy), space, writes=unread)
        else:
            match_neuron(neuron(decoy), space)
    if recipe.busy:
        generator = torch.Generator().manual_seed(recipe.seed)
        everywhere = range(recipe.layers)
        for free in sorted({*product(everywhere, range(recipe.heads))} - at.heads):
            busy_head(head(free), space.readers, unread, generator)
        for free in sorted({*product(everywhere, range(recipe.neurons))} - at.neurons):
            busy_neuron(neuron(free), space, generator)

    model.score.weight[0] = space.read("score")
