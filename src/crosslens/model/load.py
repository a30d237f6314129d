"""From a checkpoint to a hooked cross-encoder that scores the same."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..default.weights import embedded_reranker
from ..planted import plant, Planted
from ..planted.names import PREFIX
from .checkpoint_files import blamed, gist
from .config import Config
from .encoder import CrossEncoder
from .families import ANSWERING, FAMILIES
from .families.parts import Parts
from .head import Head, relevance
from .original import from_files, in_memory, of_sentence_transformers, Original, Wish
from .parity import check_parity
from .precision import check_own, precision
from .tokens import first, PairTokenizer, Truncation
from .weights import check_finite


EMBEDDED: Final = "embedded"
SHORTEST: Final = 8  # tokens of a pair, so that query and document have a place


def load(
    checkpoint: Any = EMBEDDED,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    relevant: int | str | Sequence[int | str] | None = None,
    template: str | None = None,
    instruction: str | None = None,
    truncation: Truncation | None = None,
    max_length: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> CrossEncoder:
    """The hooked cross-encoder that gives every pair the score of the original.

    `checkpoint` is a hub id, a local folder, a Hugging Face sequence classifier in memory
    (with its tokenizer), a sentence-transformers `CrossEncoder`, a planted model
    (`plant(...)`, or its name: "planted:bm25"), or by default the reranker that comes with
    the package. Weights are shared with a model in memory, never copied or changed; those
    read from files are float32, whatever the files hold, or of the precision `dtype`: "bfloat16"
    ("bf16"), "float16" ("fp16") or "float32" ("fp32"), of which the last map makes float32 scores.
    `relevant` is the label that means relevant, where two or more labels leave a doubt; of a
    language model the token that means yes, or that and the one that means no: ("yes", "no").
    `template` is a text with places for {query}, {document} and {instruction}, for checkpoints
    that do not say how they lay out a pair; `instruction` takes the place of their own.
    `truncation` ("longest_first" or "only_second"; with a template the document alone is cut) and
    `max_length` (tokens of a pair, at most what the position table allows) are the checkpoint's
    own unless given. What the checkpoint declares of its score is followed or refused, and on
    load the logits are compared with the original's.

    Raises:
        TypeError: `checkpoint` is none of these.
        ValueError: a file is missing or damaged, declares what is not followed, or an
            argument does not fit; the message names it and the way out.
        RuntimeError: the logits differ from the original's.
    """
    label = relevant if type(relevant) is int else None
    kind = None if dtype is None else precision(dtype)
    wish = Wish(template, instruction, relevant)
    original = resolve(checkpoint, tokenizer, wish, kind or torch.float32)
    if kind is not None:
        check_own(original.name, original.modules, kind)
    if original.answer is None and label is None and relevant is not None:
        raise ValueError(
            f"relevant={relevant!r}: {original.name} is a classifier; give the number of a label"
        )
    if original.layout is not None and truncation == "longest_first":
        raise ValueError(
            "truncation='longest_first': with a template the document alone is cut, so that "
            "query and template stay whole; leave it out"
        )
    for module in original.modules:
        check_finite(original.name, module.named_parameters())
    if device is not None:
        move(original, device)
    parts = adopted(original)
    says, c = original.declared, original.model.config
    own_limit = longest(parts.n_positions, says.max_length, original.tokenizer)
    own_limit = min(own_limit, original.max_length or own_limit)
    check_room(original.name, own_limit)
    limit = own_limit if max_length is None else shortened(own_limit, max_length)
    attention = parts.blocks[0].attn
    n_shared = attention.n_kv_heads
    model = CrossEncoder(
        Config(
            family=c.model_type,
            n_layers=len(parts.blocks),
            n_heads=attention.n_heads,
            d_model=attention.out.out_features,
            d_head=attention.d_head,
            d_mlp=parts.blocks[0].mlp.n_neurons,
            n_labels=original.n_labels,
            n_positions=limit,
            norm="pre" if parts.final_norm is not None else "post",
            checkpoint=original.name,
            n_key_value_heads=n_shared if n_shared < attention.n_heads else None,
        ),
        parts,
        relevance(original.n_labels, None, None)
        if original.answer is not None
        else relevance(original.n_labels, c.id2label if original.tail is None else None, label),
        PairTokenizer(
            original.tokenizer,
            limit,
            truncation or says.truncation,
            len(parts.embedding.words.weight),
            parts.scored,
            original.layout,
            says.texts,
        ),
        activation(original),
    )
    check_parity(model, original, own_limit)
    return model


def resolve(
    checkpoint: Any, tokenizer: PreTrainedTokenizerBase | None, wish: Wish, dtype: torch.dtype
) -> Original:
    """The original model, its tokenizer and what it declares, of whatever the user has.

    Files are read as `dtype`.
    """
    if isinstance(checkpoint, str) and checkpoint.startswith(PREFIX):
        checkpoint = plant(checkpoint)
    if checkpoint == EMBEDDED:
        found = from_files(str(embedded_reranker()), tokenizer, wish, dtype)
        return replace(found, name=EMBEDDED)
    if isinstance(checkpoint, Planted):
        found = in_memory(checkpoint.model, tokenizer or checkpoint.tokenizer, wish)
        return replace(found, name=checkpoint.name)
    if isinstance(checkpoint, str | Path):
        return from_files(str(checkpoint), tokenizer, wish, dtype)
    if isinstance(checkpoint, PreTrainedModel):
        return in_memory(checkpoint, tokenizer, wish)
    if hasattr(checkpoint, "predict"):
        return of_sentence_transformers(checkpoint, tokenizer, wish)
    raise TypeError(
        f"cannot load a {type(checkpoint).__name__}: give a hub id, a folder, a Hugging Face "
        "...ForSequenceClassification, ...ForCausalLM or T5ForConditionalGeneration with its "
        "tokenizer, or a sentence-transformers CrossEncoder"
    )


def move(original: Original, device: str | torch.device) -> None:
    """Put the original on `device`, if this machine has it.

    Raises:
        ValueError: there is no such device here.
    """
    try:
        if torch.device(device).type == "meta":
            raise ValueError("it holds no numbers")
        for module in original.modules:
            module.to(device)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        n_gpus = torch.cuda.device_count()
        there = ["cpu", *(f"cuda:{i}" for i in range(n_gpus))]
        raise ValueError(
            f"device {str(device)!r} cannot be used ({gist(error)}); this machine has "
            f"{', '.join(there)}"
        ) from error


def activation(original: Original) -> nn.Module:
    """What follows the score: as declared, else what the authors of such models have.

    One label: a sigmoid, as sentence-transformers has it; of two tokens (monoT5) it gives the
    probability of the true one beside the false one. The logit of one token alone (RankT5,
    bge-reranker-v2-gemma) is the score of its authors as it is.
    """
    says, answer = original.declared, original.answer
    if says.activation is not None:
        return says.activation
    is_one_token = answer is not None and answer.false is None and not says.is_laid_out
    return nn.Sigmoid() if original.n_labels == 1 and not is_one_token else nn.Identity()


def adopted(original: Original) -> Parts:
    """The original's own modules in their places."""
    family_name = original.model.config.model_type
    if original.answer is not None:
        return ANSWERING[family_name](original.model, original.answer)
    family = FAMILIES[family_name]
    if original.tail is None:
        return family(original.model)
    # A classifier around the bare encoder, whose head of no weights gives way to the tail.
    what = f"{original.name}/config.json makes no {family_name} model"
    with blamed(what), torch.device("meta"):
        shell: Any = AutoModelForSequenceClassification.from_config(original.model.config)
    setattr(shell, shell.base_model_prefix, original.model)
    end = original.tail
    head = Head(end.hidden, end.out, reads_scored_row=not end.is_mean)
    return replace(family(shell), head=head, scored=first)


def longest(n_positions: int, declared: int | None, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest pair that the position table and the checkpoint allow, in tokens."""
    limit = tokenizer.model_max_length if declared is None else declared
    if limit is None:
        return n_positions
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1:
        raise ValueError(
            f"the tokenizer_config.json of {tokenizer.name_or_path}: model_max_length is "
            f"{limit!r}, expected a number of tokens"
        )
    return int(min(n_positions, limit))


def check_room(name: str, limit: int) -> None:
    """Refuse a checkpoint whose longest pair has no place for two texts."""
    if limit < SHORTEST:
        raise ValueError(
            f"{name} takes pairs of {limit} tokens at most (the least of max_position_embeddings "
            "in config.json, model_max_length in tokenizer_config.json and max_length), which "
            f"leaves no room for query and document; expected {SHORTEST} or more"
        )


def shortened(limit: int, wished: int) -> int:
    """The limit that the user wishes, if the checkpoint takes it."""
    if type(wished) is not int or not SHORTEST <= wished <= limit:
        raise ValueError(
            f"max_length={wished!r}; this checkpoint takes {SHORTEST} to {limit} tokens"
        )
    return wished
