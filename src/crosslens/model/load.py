"""From a Hugging Face sequence classifier to a hooked cross-encoder that scores the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..default.weights import embedded_reranker
from ..planted import plant, Planted
from ..planted.names import PREFIX
from .config import Config
from .encoder import CrossEncoder
from .families import FAMILIES
from .head import relevance
from .tokens import PairTokenizer, Truncation


EMBEDDED: Final = "embedded"


def load(
    checkpoint: Any = EMBEDDED,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    relevant: int | None = None,
    truncation: Truncation = "longest_first",
    max_length: int | None = None,
    device: str | torch.device | None = None,
) -> CrossEncoder:
    """The hooked cross-encoder that gives every pair the score of the original.

    `checkpoint` is a hub id, a local folder, a Hugging Face sequence classifier in memory
    (with its tokenizer), a sentence-transformers `CrossEncoder`, a planted model
    (`plant(...)`, or its name: "planted:bm25"), or by default the reranker that comes with
    the package. Weights are shared with a model in memory, never copied or changed; those
    read from files are float32, whatever the files hold. `relevant` is the label that means
    relevant, where two or more labels leave a doubt; `max_length` shortens what the position
    table allows. On load the scores are compared with the original's; a difference is an
    error.
    """
    name, original, tokenizer = resolve(checkpoint, tokenizer)
    if device is not None:
        original.to(device)
    c = original.config
    parts = FAMILIES[c.model_type](original)
    limit = longest(parts.n_positions, tokenizer, max_length)
    attention = parts.blocks[0].attn
    model = CrossEncoder(
        Config(
            family=c.model_type,
            n_layers=len(parts.blocks),
            n_heads=attention.n_heads,
            d_model=attention.out.out_features,
            d_head=attention.out.in_features // attention.n_heads,
            d_mlp=parts.blocks[0].mlp.w_out.in_features,
            n_labels=c.num_labels,
            n_positions=limit,
            norm="pre" if parts.final_norm is not None else "post",
            checkpoint=name,
        ),
        parts,
        relevance(c.num_labels, c.id2label, relevant),
        PairTokenizer(tokenizer, limit, truncation),
        declared_activation(c),
    )
    check_parity(model, original)
    return model


def resolve(
    checkpoint: Any, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[str, Any, PreTrainedTokenizerBase]:
    """The name, the original model and the tokenizer of whatever the user has."""
    if isinstance(checkpoint, str) and checkpoint.startswith(PREFIX):
        checkpoint = plant(checkpoint)
    if checkpoint == EMBEDDED:
        _, original, tokenizer = resolve(embedded_reranker(), tokenizer)
        return EMBEDDED, original, tokenizer
    if isinstance(checkpoint, Planted):
        return checkpoint.name, checkpoint.model, tokenizer or checkpoint.tokenizer
    if isinstance(checkpoint, str | Path):
        name = str(checkpoint)
        original = from_pretrained(name)
        return name, original, tokenizer or its_tokenizer(name, original.config.vocab_size)
    if not isinstance(checkpoint, PreTrainedModel) and hasattr(checkpoint, "predict"):
        tokenizer = tokenizer or checkpoint.tokenizer  # a sentence-transformers CrossEncoder
        checkpoint = checkpoint.model
    if not isinstance(checkpoint, PreTrainedModel):
        raise TypeError(
            f"cannot load a {type(checkpoint).__name__}: give a hub id, a folder, a Hugging Face "
            "...ForSequenceClassification with its tokenizer, or a sentence-transformers "
            "CrossEncoder"
        )
    if tokenizer is None:
        raise ValueError("a model in memory needs its tokenizer: load(model, tokenizer)")
    check_architecture(type(checkpoint).__name__, checkpoint.config.model_type)
    name = checkpoint.config._name_or_path or f"{type(checkpoint).__name__} in memory"
    return name, checkpoint, tokenizer


def from_pretrained(name: str) -> PreTrainedModel:
    """The sequence classifier called `name`, with a trained head, from disk or the hub."""
    folder = Path(name)
    if (folder / "modules.json").exists() and "Pooling" in (folder / "modules.json").read_text():
        raise ValueError(
            f"{name} is a bi-encoder (its modules.json pools token embeddings): it encodes "
            "query and document apart and has no relevance score to explain; give a cross-encoder"
        )
    try:
        if folder.is_dir() and not (folder / "config.json").exists():
            raise OSError("the folder has none")
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except OSError as error:
        raise ValueError(
            f"no checkpoint at {name!r}: neither a local folder with a config.json nor a model "
            f"the hub would give ({first_line(error)})"
        ) from error
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{name} is of no family that transformers knows ({first_line(error)}); supported "
            f"are {', '.join(FAMILIES)}"
        ) from error
    for architecture in config.architectures or ["...ForSequenceClassification"]:
        check_architecture(architecture, config.model_type)
    # In full precision, whatever the file holds: effects are small differences of scores.
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        name, output_loading_info=True, dtype=torch.float32, trust_remote_code=False
    )
    if loading["missing_keys"]:
        raise ValueError(
            f"{name} has no trained weights for {sorted(loading['missing_keys'])}: its head would "
            "be random and its scores noise; give a checkpoint that was fine-tuned to rerank"
        )
    return model.requires_grad_(False)


def its_tokenizer(name: str, n_vocabulary: int) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved beside a model with so many word embeddings."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        why = f"what loads knows {len(tokenizer)} tokens, the model {n_vocabulary}"
    except (OSError, ValueError) as error:
        tokenizer, why = None, first_line(error)
    # Where the files are missing, transformers makes a tokenizer of a few special tokens.
    if tokenizer is None or len(tokenizer) < n_vocabulary // 2:
        raise ValueError(
            f"{name} holds no tokenizer of its model ({why}); save it beside the model, or "
            "give it: load(checkpoint, tokenizer)"
        )
    return tokenizer


def first_line(error: Exception) -> str:
    """The gist of another library's error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_architecture(architecture: str, family: str) -> None:
    """Refuse what is not a sequence classifier of a supported family."""
    if family not in FAMILIES:
        raise ValueError(
            f"{architecture} is of the family {family!r}; supported are {', '.join(FAMILIES)}"
        )
    if architecture.endswith("ForSequenceClassification"):
        return
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")):
        what = "a masked language model, without a relevance head"
    elif architecture.endswith("Model"):
        what = "a bare encoder (the kind a bi-encoder uses), without a relevance head"
    else:
        what = "not a sequence classifier"
    raise ValueError(
        f"{architecture} is {what}; a cross-encoder's config.json says ...ForSequenceClassification"
    )


def longest(n_positions: int, tokenizer: PreTrainedTokenizerBase, wished: int | None) -> int:
    """The longest pair: what the position table, the tokenizer and the user allow."""
    limit = min(n_positions, tokenizer.model_max_length)
    if wished is None:
        return limit
    if not 8 <= wished <= limit:
        raise ValueError(f"max_length={wished}; this checkpoint takes 8 to {limit} tokens")
    return wished


def declared_activation(config: Any) -> nn.Module:
    """What the checkpoint says follows its logit: shown beside scores, never attributed.

    sentence-transformers' own rules: `sentence_transformers.activation_fn`, its older name,
    else a sigmoid where there is one label.
    """
    declared = (getattr(config, "sentence_transformers", None) or {}).get("activation_fn")
    declared = declared or getattr(config, "sbert_ce_default_activation_function", None)
    name = (declared or ("Sigmoid" if config.num_labels == 1 else "Identity")).split(".")[-1]
    found = getattr(nn, name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"the checkpoint declares the activation {declared!r}; torch.nn has none")
    return found()


CANNED = (
    ("what is the capital of france", "Paris is the capital and largest city of France."),
    ("how long do cats sleep", "Bananas are rich in potassium."),
    ("python", "A python is a large snake. " * 6),
)


@torch.no_grad()
def check_parity(model: CrossEncoder, original: PreTrainedModel) -> None:
    """Refuse a hooked model whose logits are not the original's, on padded pairs.

    The original reads what its own tokenizer lays out, segment ids included, so that a
    slip in ours shows too. Half of the digits of the weights have to agree.
    """
    tokens = replace(model.tokens, truncation="longest_first")  # never fails on a short limit
    queries, documents = [query for query, _ in CANNED], [document for _, document in CANNED]
    pairs = tokens(queries, documents).to(model.device)
    has_types = getattr(original.config, "type_vocab_size", 0) > 1
    inputs = tokens.tokenizer(
        queries,
        documents,
        padding=True,
        padding_side="right",
        truncation="longest_first",
        max_length=tokens.limit,
        return_token_type_ids=has_types,
        return_tensors="pt",
    ).to(model.device)
    training = [module for module in original.modules() if module.training]
    original.eval()
    try:
        theirs = original(**inputs).logits
    finally:
        for module in training:
            module.training = True
    with model.record("logits") as cache:
        model(pairs)
    (ours,) = cache.values()
    worst = (ours - theirs).abs().max().item()
    tolerance = torch.finfo(theirs.dtype).eps ** 0.5 * max(1.0, theirs.abs().max().item())
    if not worst <= tolerance:  # so that nan is refused as well
        raise RuntimeError(
            f"the hooked model differs from {model.cfg.checkpoint} by {worst:.2g} in a logit "
            f"(tolerance {tolerance:.2g}); this is a fault of CrossLens or an unknown variant of "
            f"{model.cfg.family}: please report it with the checkpoint's config.json"
        )
