"""What training starts from: the backbone with a new head, and a vocabulary that fits."""

import gzip
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from ...corpora.collection import Collection
from ...writing import write_whole
from .heldout import trainable
from .vocabulary import choose, count_pieces, prune_model, prune_tokenizer


LOG = logging.getLogger(__name__)


def pruned(
    full: Tokenizer,
    collections: Mapping[str, Collection],
    frequencies: Mapping[str, int],
    pieces: int,
    kept: Path,
) -> Tokenizer:
    """The tokenizer `kept` by an earlier run, or `full` with its most frequent `pieces` only."""
    if not kept.is_file():
        allowed = trainable(collections).values()
        in_documents = count_pieces(
            full, (text for part in allowed for text in part.documents.values())
        )
        asked = count_pieces(full, (text for part in allowed for text in part.queries.values()))
        chosen = choose(full.get_vocab(), (in_documents, asked, frequencies), pieces)
        write_whole(kept, prune_tokenizer(full, chosen).to_str(pretty=True).encode())
    return Tokenizer.from_file(str(kept))


def initial(backbone: Path, full: Tokenizer, pruned: Tokenizer) -> BertForSequenceClassification:
    """The backbone with a new head of one logit, no dropout, and the pruned vocabulary.

    Dropout would blur targets that are exact; attention is written out because the fused kernel's
    gradient is the slower one on a processor.
    """
    model = BertForSequenceClassification.from_pretrained(
        backbone,
        num_labels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    prune_model(model, full.get_vocab(), pruned.get_vocab())
    return model


def document_frequencies(table: Path) -> dict[str, int]:
    """Document frequencies of word pieces in a large collection, or none if `table` is absent."""
    if not table.is_file():
        LOG.warning("%s is absent; the vocabulary is chosen by the training texts alone", table)
        return {}
    return json.loads(gzip.decompress(table.read_bytes()))
