"""The comparison at load: a hooked model gives pairs the logits of its original."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batching.batch_size import BatchSize
from ..pairs import Pairs
from .checkpoint_files import blamed
from .encoder import CrossEncoder
from .original import Original
from .precision import HALVES, InFloat32
from .tokens import LastToken, PairTokenizer
from .weights import check_finite


TEXTS = (
    ("what is the capital of france", "Paris is the capital and largest city of France."),
    ("how long do cats sleep", "Bananas are rich in potassium."),
    ("python", "A python is a large snake. " * 6),
    ("cats", "cats"),
)


@torch.no_grad()
def check_parity(model: CrossEncoder, original: Original, limit: int) -> None:
    """Refuse a hooked model whose logits are not the original's, on padded pairs.

    The original reads what its own tokenizer lays out, token types included, also where a text
    spells special tokens. Half of the digits of the spread between pairs have to agree, whatever
    the size of the scores; beyond that only rounding in the last map is allowed. What can
    predict by itself (a `CrossEncoder`) is compared by its prediction too.

    Half of the digits of 16 bit are too few to notice a wrong segment id. So weights of 16 bit
    are compared twice: as they compute, to their own rounding, and with the arithmetic of
    float32 on the same weights, to that of float32.

    `limit` is the longest pair of the original, in tokens.

    Raises:
        ValueError: the original itself fails, or gives no numbers.
        RuntimeError: the two differ.
    """
    # The original's own layout, whatever length or truncation the user wished.
    tokens = replace(model.tokens, limit=limit, truncation=original.declared.truncation)
    special = " ".join(map(str, tokens.tokenizer.all_special_tokens))
    texts = [*TEXTS, (f"python {special}", f"{special} a large {special} snake")]
    if original.layout is not None:  # which is compared whole
        texts = [text for text in texts if len(original.plain_ids(*text)) <= limit]
        if not texts:
            raise ValueError(
                f"the template of {original.name} leaves no room for a document within its "
                f"{limit} tokens"
            )
    queries, documents = zip(*texts, strict=True)
    are_kept = zip(
        tokens.are_kept("query", queries), tokens.are_kept("document", documents), strict=True
    )
    texts = [text for text, is_kept in zip(texts, are_kept, strict=True) if all(is_kept)] or texts
    pairs = tokens([query for query, _ in texts], [document for _, document in texts])
    pairs = pairs.to(model.device)
    training = [m for whole in original.modules for m in whole.modules() if m.training]
    try:
        for whole in original.modules:
            whole.eval()
        with blamed(f"the checkpoint {original.name} itself cannot score a pair"):
            expected = {"its own forward pass": originals_logits(original, tokens, texts)}
            if original.predict is not None:
                expected["its own predict"] = original.predict(texts).to(model.device)
            in_float32 = None
            if model.dtype in HALVES:
                with InFloat32():
                    in_float32 = originals_logits(original, tokens, texts)
    finally:
        for module in training:
            module.training = True
    for what, theirs in expected.items():
        compare(model, original, pairs, theirs, what)
    if in_float32 is not None:
        with InFloat32():
            compare(model, original, pairs, in_float32, "its own forward pass in float32")


def originals_logits(
    original: Original, tokens: PairTokenizer, texts: list[tuple[str, str]]
) -> Float[Tensor, "pair label"]:
    """By the original and its own tokenizer, nothing of ours between them.

    One pair at a time where that is simpler, as in a template, or where the original cannot tell
    a padded batch: it has no padding token, or (a decoder, which looks for its last token by
    number) not that of the tokenizer.
    """
    pad = original.tokenizer.pad_token_id
    is_last = isinstance(tokens.scored, LastToken)
    is_alone = pad is None or (is_last and pad != original.model.config.pad_token_id)
    is_alone = is_alone or original.layout is not None or original.answer is not None
    size = BatchSize(1 if is_alone else len(texts), item="pair")

    def logits(some: Sequence[tuple[str, str]]) -> Tensor:
        return read_out(original, inputs_of(original, tokens, list(some)))

    return torch.cat([found for _, found in size.batches(logits, texts)])


def inputs_of(
    original: Original, tokens: PairTokenizer, texts: list[tuple[str, str]]
) -> Mapping[str, Tensor]:
    """What the original's own tokenizer makes of pairs; of one, in a template."""
    if original.layout is not None:
        ids = torch.tensor([original.plain_ids(*texts[0])], device=original.model.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    queries, documents = [query for query, _ in texts], [document for _, document in texts]
    if (lengths := original.declared.texts) is not None:
        queries, documents = lengths.decoded(tokens.tokenizer, queries, documents)
    inputs: Any = tokens.tokenizer(
        queries,
        documents,
        padding=len(texts) > 1,
        padding_side="right",
        truncation=tokens.truncation,
        max_length=tokens.limit,
        return_attention_mask=True,
        return_tensors="pt",
    )
    return inputs.to(original.model.device)


def read_out(original: Original, inputs: Mapping[str, Tensor]) -> Float[Tensor, "pair label"]:
    """The logits that the original's own modules give."""
    known = inspect.signature(type(original.model).forward).parameters
    given = {key: value for key, value in inputs.items() if key in known}
    if original.answer is not None:
        ids = inputs["input_ids"]
        logits = original.model(**given, **last_step(original.model, len(ids))).logits[:, -1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        true, false = original.answer.true, original.answer.false
        return logits[:, [true]] - (0 if false is None else logits[:, [false]])
    outputs = original.model(**given)
    if original.tail is None:
        return outputs.logits
    return original.tail.logits(outputs.last_hidden_state, inputs["attention_mask"])


def last_step(model: Any, n: int) -> dict[str, Any]:
    """What makes a language model give the logits that are scored, of `n` pairs."""
    if not model.config.is_encoder_decoder:
        return {"logits_to_keep": 1}
    start = model.config.decoder_start_token_id
    return {"decoder_input_ids": torch.full((n, 1), start, device=model.device)}


@torch.no_grad()
def compare(
    model: CrossEncoder,
    original: Original,
    pairs: Pairs,
    theirs: Float[Tensor, "pair label"],
    what: str,
) -> None:
    """Refuse a difference above the tolerance, and logits that are no numbers."""
    width = pairs.token.shape[1]
    sites = [site for name in ("logits", "pooled") for site in model.sites(name)]

    def run(rows: Sequence[int]) -> list[Tensor]:
        with model.record(*sites) as cache:
            model(pairs.take(list(rows), width=width))
        return [cache[site] for site in sites]

    parts = BatchSize(len(pairs), tokens=width).batches(run, range(len(pairs)))
    ours, pooled = map(torch.cat, zip(*(found for _, found in parts), strict=True))
    theirs = theirs.to(ours)
    if not torch.isfinite(theirs).all():
        check_finite(original.name, original.model.named_parameters())
        raise ValueError(
            f"the checkpoint {original.name} itself scores {theirs.flatten().tolist()}: its "
            f"activations overflow {model.dtype}; load it in float32"
        )
    if ours.shape != theirs.shape:
        raise RuntimeError(
            f"{original.name} gives logits of shape {tuple(theirs.shape)} by {what}, the hooked "
            f"model {tuple(ours.shape)}: please report it with the checkpoint's config.json"
        )
    worst = (ours - theirs).abs().max().item()
    spread = (theirs.amax(dim=0) - theirs.amin(dim=0)).max().item()
    out = model.head.out
    terms = pooled.abs().to(ours) @ out.weight.abs().to(ours).T
    largest = (terms if out.bias is None else terms + out.bias.abs()).max().item()
    eps = torch.finfo(model.dtype).eps
    # in float64 no closer than float32 rounds: originals take softmax, rotations and (decoders)
    # norms in float32
    tolerance = max(eps**0.5, 16 * torch.finfo(torch.float32).eps) * spread + 8 * eps * largest
    if not worst <= tolerance:  # so that nan is refused as well
        raise RuntimeError(
            f"the hooked model differs from {original.name} ({what}) by {worst:.2g} in a logit "
            f"(tolerance {tolerance:.2g}, for logits that spread over {spread:.2g}); this is a "
            f"fault of CrossLens or an unknown variant of {model.cfg.family}: please report it "
            "with the checkpoint's config.json"
        )
