"""A BERT that is BM25: a standard checkpoint whose every weight is known.

    score = Σ_{t in q} IDF(t) · tf / (tf + k1 (1 − b + b·|d| / avgdl))

Terms are WordPieces and IDF is Lucene's, as in `signals.bm25`. The length |d| is the number
of pieces of query and document together, which is what the position of the last [SEP] tells;
avgdl is the mean number of pieces of a document. Three steps compute it: a neuron lets the
position through at the last [SEP], a head turns matches and length into saturated term
frequency, a head adds those up by IDF. A recipe may put a contextual head between the two,
share the matching among several heads, and set others beside them that try a method's faith.

What is left of a difference to BM25 is the factor 1 / (1 + ΣIDF / e¹²), the same for all
documents of a query (see `scoring_head`), and rounding. A recipe with `normalised` computes
BM25 divided by the total IDF of the query instead, without that factor.
"""

from itertools import product
from typing import cast, Final

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertLayer

from ..circuit import Circuit
from .codes import coded_terms
from .names import Recipe
from .parts import (
    busy_head,
    busy_neuron,
    contextual_head,
    HeadWeights,
    length_neuron,
    match_neuron,
    matching_head,
    NeuronWeights,
    scoring_head,
    switch_neuron,
)
from .placement import Place, place, Placement
from .space import Space, UNREAD, width
from .tokenizer import CLS, N_POSITIONS, SEP, tokenizer
from .truth import circuit
from .vocabulary import Lexicon


SMALL: Final = 1e-4  # the pooler's tanh is the identity for scores this much smaller
OVERSTATED: Final = 0.5  # what a suppressor takes back, as a share of tf


def made(
    name: str, recipe: Recipe, lexicon: Lexicon
) -> tuple[BertForSequenceClassification, PreTrainedTokenizerFast, Circuit, Placement]:
    """The model of a recipe, its tokenizer, its circuit, and where the parts sit."""
    at, space = place(recipe), Space(width(recipe.heads))
    model = empty(recipe, len(lexicon.pieces), space.d_model)
    embed(model, space, lexicon, recipe)
    build(model, space, at, recipe)
    return model, tokenizer(lexicon.pieces), circuit(name, at, space), at


def empty(recipe: Recipe, n_pieces: int, d_model: int) -> BertForSequenceClassification:
    """A sequence classifier whose every weight is 0."""
    config = BertConfig(
        vocab_size=n_pieces,
        hidden_size=d_model,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.neurons,
        hidden_act="relu",
        max_position_embeddings=N_POSITIONS,
        layer_norm_eps=1e-12,
    )
    config.num_labels = 1
    model = BertForSequenceClassification(config).eval()
    for weight in model.parameters():
        weight.zero_()
    return model


def embed(
    model: BertForSequenceClassification, space: Space, lexicon: Lexicon, recipe: Recipe
) -> None:
    """Write the embeddings: identity code and log IDF, segment, and length."""
    tables = model.bert.embeddings
    words = tables.word_embeddings.weight
    terms, code, idf = coded_terms(lexicon, recipe.seed)
    words[terms] = code @ space.code + idf.log()[:, None] * space.write("idf")
    words[lexicon.pieces.index(CLS)] = space.write("cls")
    words[lexicon.pieces.index(SEP)] = space.write("sep")
    words += space.constant

    tables.token_type_embeddings.weight[1] = space.write("document")
    # the last [SEP] stands at |q| + |d| + 2; k1 (1 - b) is a bias of the matching head
    length = (torch.arange(N_POSITIONS, dtype=torch.float64) - 2).clamp(min=0)
    ratio = recipe.b / (1 - recipe.b) / lexicon.frequencies.mean_length
    adds = (1 + ratio * length).log().float()
    tables.position_embeddings.weight[:] = adds[:, None] * space.write("length")


def build(
    model: BertForSequenceClassification, space: Space, at: Placement, recipe: Recipe
) -> None:
    """Write the parts where they belong, and let every LayerNorm pass them on."""
    bert = model.bert
    blocks = [cast(BertLayer, block) for block in bert.encoder.layer]
    space.linearise(bert.embeddings.LayerNorm)
    for block in blocks:
        space.linearise(block.attention.output.LayerNorm)
        space.linearise(block.output.LayerNorm)

    def head(place: Place) -> HeadWeights:
        layer, index = place
        read, out = blocks[layer].attention.self, blocks[layer].attention.output.dense
        d_head = space.d_model // recipe.heads
        return HeadWeights.of(read.query, read.key, read.value, out, index, d_head)

    def neuron(place: Place) -> NeuronWeights:
        layer, index = place
        return NeuronWeights.of(blocks[layer], index)

    k1, b = recipe.k1, recipe.b
    tf = "tf" if at.contextual is None else "count"
    too_much = OVERSTATED if at.suppressor is not None else 0.0
    length_neuron(neuron(at.length), space, writes="room")
    for matching in at.matchers:
        share = (1 + too_much) / len(at.matchers)
        matching_head(head(matching), space, k1=k1, b=b, writes=tf, share=share)
    scoring_head(head(at.scoring), space, normalised=recipe.normalised)
    if at.contextual is not None:
        contextual_head(head(at.contextual), space)
    if at.suppressor is not None:
        matching_head(head(at.suppressor), space, k1=k1, b=b, writes=tf, share=-too_much)
    if at.backup is not None and at.switch is not None:
        matching_head(head(at.backup), space, k1=k1, b=b, writes="spare tf")
        switch_neuron(neuron(at.switch), space, tf=tf)
    for decoy in at.decoy_heads:
        matching_head(head(decoy), space, k1=k1, b=b, writes=None)
    for talker in at.talkers:
        matching_head(head(talker), space, k1=k1, b=b, writes="unread")
    for decoy in at.decoy_neurons:
        if decoy[0] < at.matching[0]:  # nothing is matched yet: it can only look like the length's
            length_neuron(neuron(decoy), space, writes="unread")
        else:
            match_neuron(neuron(decoy), space, tf=tf)
    if recipe.busy:
        generator = torch.Generator().manual_seed(recipe.seed)
        everywhere = range(recipe.layers)
        for free in sorted({*product(everywhere, range(recipe.heads))} - at.heads):
            busy_head(head(free), space.readers, space.write(UNREAD), generator)
        for free in sorted({*product(everywhere, range(recipe.neurons))} - at.neurons):
            busy_neuron(neuron(free), space, generator)

    assert bert.pooler is not None  # a sequence classifier has one
    bert.pooler.dense.weight[0] = SMALL * space.read("score")
    model.classifier.weight[0, 0] = 1 / SMALL
