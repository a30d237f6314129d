"""What is measured: a BERT with random weights, and pairs of random tokens."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from tokenizers import models, pre_tokenizers, processors, Tokenizer
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from crosslens import CrossEncoder, load, Pairs, Segment
from crosslens.batching.batches import TOKENS_PER_BATCH


class Shape(NamedTuple):
    layers: int
    heads: int
    d_model: int
    d_mlp: int


SHAPES: Final = {
    "minilm": Shape(6, 12, 384, 1536),
    "base": Shape(12, 12, 768, 3072),
    "large": Shape(24, 16, 1024, 4096),
    "tiny": Shape(3, 4, 32, 64),
}
SPECIAL: Final = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
N_VOCABULARY: Final = 30_522


@dataclass(frozen=True)
class Subject:
    """A model, the pairs that are patched, and the pairs the patches come from."""

    shape: Shape
    original: BertForSequenceClassification
    model: CrossEncoder
    base: Pairs
    more: Pairs

    @property
    def n_tokens(self) -> int:
        return self.base.token.shape[1]

    @property
    def rows(self) -> int:
        """How many rows the engine makes one batch."""
        return max(1, TOKENS_PER_BATCH["cpu"] // self.n_tokens)

    def of_block(self) -> float:
        """Floating-point operations of one block for one row."""
        s, (_, _, d, m) = self.n_tokens, self.shape
        return 2 * s * (4 * d * d + 2 * d * m) + 4 * s * s * d

    def of_suffix(self, layer: int, *, after_attention: bool) -> float:
        """Those that depend on an edit of the stream at `layer`, or of what one head read."""
        s, (n, h, d, m) = self.n_tokens, self.shape
        one_row = 2 * (d * d + 2 * d * m)  # W_O and the MLP, for [CLS]
        # One reader asks the stream itself, by q W_K, and sends what each head takes through W_V:
        # no keys and values of all tokens.
        last = one_row + 6 * d * d + 4 * h * s * d
        if layer == n - 1:
            return one_row if after_attention else last
        of_head = d * d / h  # W_O of one head
        first = 2 * s * (of_head + 2 * d * m) if after_attention else self.of_block()
        return first + (n - 2 - layer) * self.of_block() + last


def subject(shape: Shape, *, tokens: int, pairs: int, seed: int = 0) -> Subject:
    """Pairs of `tokens` tokens that share a query; the sides differ in every document token."""
    torch.manual_seed(seed)
    original = BertForSequenceClassification(
        BertConfig(
            vocab_size=N_VOCABULARY,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            hidden_size=shape.d_model,
            intermediate_size=shape.d_mlp,
            num_labels=1,
        )
    ).eval()
    with torch.no_grad():
        for name, value in original.named_parameters():
            if "query" in name or "key" in name:
                value.mul_(2.5)  # so that attention is not uniform
            elif name.endswith("bias"):
                value.add_(0.05 * torch.randn_like(value))
            elif name.startswith("classifier"):
                value.mul_(500)  # so that scores differ
    base = random_pairs(tokens, pairs)
    other = random_pairs(tokens, pairs)
    token = torch.where(base.where("document"), other.token, base.token)
    return Subject(shape, original, load(original, tokenizer()), base, replace(base, token=token))


def random_pairs(tokens: int, n: int) -> Pairs:
    """Pairs without padding, whose query takes ten tokens or a third of them."""
    query = min(10, tokens // 3)
    token = torch.randint(1000, 30_000, (n, tokens))
    segment = torch.full((n, tokens), Segment.DOCUMENT)
    segment[:, 0], segment[:, 1:query] = Segment.CLS, Segment.QUERY
    segment[:, query], segment[:, -1] = Segment.SEP1, Segment.SEP2
    token[segment == Segment.CLS] = 1
    token[(segment == Segment.SEP1) | (segment == Segment.SEP2)] = 2
    return Pairs(
        token=token,
        segment=segment,
        token_type=(segment >= Segment.DOCUMENT).long(),
        word=torch.arange(tokens).expand(n, -1),
        span=torch.zeros(n, tokens, 2, dtype=torch.long),
        cut=torch.zeros(n, dtype=torch.long),
        scored=torch.zeros(n, dtype=torch.long),
        query=("?",) * n,
        document=("?",) * n,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """One that `load` can compare scores with; the pairs above never pass through it."""
    words = [*SPECIAL, *"why do cats purr when they rest".split()]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]", model_max_length=512,
    )  # fmt: skip
