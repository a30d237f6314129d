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

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast, Final

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertLayer

from ..circuit import Circuit
from ..signals.bm25 import bm25
from ..signals.frequency import Frequencies
from .codes import codes
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
from .space import Space, width
from .tokenizer import CLS, N_POSITIONS, SEP, SPECIAL, tokenizer, UNKNOWN
from .truth import circuit
from .vocabulary import default_frequencies, frequencies_in, Lexicon


SMALL: Final = 1e-4  # the pooler's tanh is the identity for scores this much smaller
OVERSTATED: Final = 0.5  # what a suppressor takes back, as a share of tf
MARKS: Final = {*SPECIAL} - {UNKNOWN}  # not terms; an unknown character is one like any other


@dataclass(frozen=True, eq=False)
class Planted:
    """A sequence classifier that computes BM25, and the truth about how it does."""

    name: str
    recipe: Recipe
    model: BertForSequenceClassification
    tokenizer: PreTrainedTokenizerFast
    circuit: Circuit
    placement: Placement
    lexicon: Lexicon

    @property
    def frequencies(self) -> Frequencies:
        """Of the terms: their document frequencies, and the mean length."""
        return self.lexicon.frequencies

    def terms(self, text: str) -> list[str]:
        """The WordPieces of a text, each synonym as the first word of its cluster."""
        return [self.lexicon.term(piece) for piece in self.tokenizer.tokenize(text)]

    def bm25(self, query: str, document: str) -> float:
        """What the model computes, by `signals.bm25`, for a pair that fits into it."""
        q, d = self.terms(query), self.terms(document)
        longer = [*d, *[""] * len(q)]  # terms that match nothing: |d| counts the query as well
        k1, b = self.recipe.k1, self.recipe.b
        score = bm25(q, longer, self.frequencies, k1=k1, b=b)
        return score / sum(map(self.frequencies.idf, q)) if self.recipe.normalised else score


def plant(recipe: str | Recipe = "bm25", *, documents: Sequence[str] | None = None) -> Planted:
    """The planted model that a name or a recipe describes.

    Vocabulary and document frequencies come from `documents`, by default from the collection
    that comes with the package.
    """
    recipe = Recipe.named(recipe) if isinstance(recipe, str) else recipe
    name = str(recipe) + ("" if documents is None else f" over {len(documents)} documents")
    counted = default_frequencies() if documents is None else frequencies_in(documents)
    lexicon = Lexicon.of(counted, recipe.synonyms)
    at, space = place(recipe), Space(width(recipe.heads))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # transformers draws weights
        model = empty(recipe, len(lexicon.pieces), space.d_model)
        embed(model, space, lexicon, recipe)
        build(model, space, at, recipe)
    model.requires_grad_(False)
    model.config.name_or_path = name
    truth = circuit(name, at, space)
    return Planted(name, recipe, model, tokenizer(lexicon.pieces), truth, at, lexicon)


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
    tables, frequencies = model.bert.embeddings, lexicon.frequencies
    words = tables.word_embeddings.weight
    place_of = {piece: i for i, piece in enumerate(lexicon.pieces)}
    terms = {i: lexicon.term(piece) for piece, i in place_of.items() if piece not in MARKS}
    drawn = codes(len(words), torch.Generator().manual_seed(recipe.seed))
    code = drawn[[place_of[term] for term in terms.values()]]
    idf = torch.tensor([frequencies.idf(term) for term in terms.values()])
    words[list(terms)] = code @ space.code + idf.log()[:, None] * space.write("idf")
    words[place_of[CLS]] = space.write("cls")
    words[place_of[SEP]] = space.write("sep")
    words += space.constant

    tables.token_type_embeddings.weight[1] = space.write("document")
    # the last [SEP] stands at |q| + |d| + 2; k1 (1 - b) is a bias of the matching head
    length = (torch.arange(N_POSITIONS, dtype=torch.float64) - 2).clamp(min=0)
    ratio = recipe.b / (1 - recipe.b) / frequencies.mean_length
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
        return HeadWeights.of(blocks[layer], index, space.d_model // recipe.heads)

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
            busy_head(head(free), space, generator)
        for free in sorted({*product(everywhere, range(recipe.neurons))} - at.neurons):
            busy_neuron(neuron(free), space, generator)

    assert bert.pooler is not None  # a sequence classifier has one
    bert.pooler.dense.weight[0] = SMALL * space.read("score")
    model.classifier.weight[0, 0] = 1 / SMALL
