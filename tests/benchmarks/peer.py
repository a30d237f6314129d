"""The peer: TransformerLens' own bridge over a BERT of the same weights, one forward per cell.

The bridge knows BERT with a head for masked words or for the next sentence; the latter costs what
a relevance head costs. Its hooks are live at `hook_z` and in the stream, not in the pattern.
"""

import logging
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import BertForNextSentencePrediction

from crosslens import Hook, Pairs

from .subject import Subject, tokenizer
from .timing import Arm


NAME = "google-bert/bert-base-uncased"  # it asks for one, and reads nothing of it


def bridge(subject: Subject) -> TransformerBridge:
    """The subject's encoder under TransformerLens' hooks; nothing is fetched."""
    original = BertForNextSentencePrediction(subject.original.config).eval()
    original.bert.load_state_dict(subject.original.bert.state_dict())
    original.config.architectures = [type(original).__name__]
    logging.getLogger("transformer_lens").setLevel(logging.ERROR)
    return TransformerBridge.boot_transformers(NAME, hf_model=original, tokenizer=tokenizer())


def by_bridge(subject: Subject, prepared: Sequence[tuple[Pairs, Sequence[Hook]]]) -> Arm:
    """Every hook in a forward pass of its own."""
    model = bridge(subject)

    def edit(activation: Tensor, hook: object, *, chosen: Hook, pairs: Pairs) -> Tensor:
        return chosen(activation, pairs)

    @torch.no_grad()
    def run() -> float:
        for pairs, hooks in prepared:
            for hook in hooks:
                model.run_with_hooks(
                    pairs.token,
                    token_type_ids=pairs.token_type,
                    attention_mask=pairs.attended.long(),
                    fwd_hooks=[(hook.unit.site.hook, partial(edit, chosen=hook, pairs=pairs))],
                )
        return sum(len(pairs) * len(hooks) for pairs, hooks in prepared)

    return run
