"""A smaller vocabulary that still reads everything written in Latin script.

A third of MiniLM is the table of its 30,522 word pieces, most of them rare. Kept are the special
tokens, every single character of Latin script, digits and signs (alone and as `##` continuation,
so that a word can always be split), and then the most frequent pieces. A word whose piece is gone
falls apart into smaller ones that the encoder already knows.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification, BertTokenizer


SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def count_pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    """In how many of `texts` each piece occurs."""
    found: Counter[str] = Counter()
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        found.update(set(encoding.tokens))
    return found


def choose(
    vocabulary: Mapping[str, int], frequencies: Iterable[Mapping[str, int]], size: int
) -> list[str]:
    """The `size` pieces to keep, in the order of their old ids.

    Every table of `frequencies` ranks the pieces; a piece's place is its best share of any table,
    so a piece common in one kind of text is not outvoted by the larger kind.
    """
    kept = {piece for piece in SPECIAL if piece in vocabulary}
    kept |= {piece for piece in vocabulary if is_letter(piece)}
    if len(kept) > size:
        raise ValueError(
            f"a vocabulary of {size} pieces cannot hold the {len(kept)} special tokens and single "
            "characters that keep Latin text readable; ask for more pieces"
        )
    share: dict[str, float] = {}
    for table in frequencies:
        total = sum(table.values()) or 1
        for piece, n in table.items():
            if piece in vocabulary:
                share[piece] = max(share.get(piece, 0.0), n / total)
    by_share = sorted(share, key=lambda piece: (-share[piece], vocabulary[piece]))
    for piece in by_share:
        if len(kept) == size:
            break
        kept.add(piece)
    return sorted(kept, key=vocabulary.__getitem__)


def is_letter(piece: str) -> bool:
    """Whether `piece` is one character (with or without `##`) of English search text."""
    character = piece.removeprefix("##")
    if len(character) != 1:
        return False
    script = unicodedata.name(character, "").split(" ")[0]
    # letters (L) and marks (M) of other scripts go; signs and digits of any kind stay
    return script == "LATIN" or unicodedata.category(character)[0] not in "LM"


def prune_tokenizer(tokenizer: Tokenizer, pieces: Iterable[str]) -> Tokenizer:
    """The same rules over `pieces`, numbered in order; [PAD] comes first."""
    rules = json.loads(tokenizer.to_str())
    ordered = [*SPECIAL, *(piece for piece in pieces if piece not in SPECIAL)]
    vocabulary = {piece: i for i, piece in enumerate(ordered)}
    rules["model"]["vocab"] = vocabulary
    for added in rules["added_tokens"]:
        added["id"] = vocabulary[added["content"]]
    special = rules["post_processor"].get("special_tokens", {})
    for name, token in special.items():
        token["ids"] = [vocabulary[name]]
    rules["truncation"] = rules["padding"] = None
    return Tokenizer.from_str(json.dumps(rules))


def prune_model(
    model: BertForSequenceClassification, old: Mapping[str, int], new: Mapping[str, int]
) -> None:
    """Keep, in `model`, the embedding rows of the `new` vocabulary, in its order."""
    table = model.bert.embeddings.word_embeddings
    rows = torch.tensor([old[piece] for piece in sorted(new, key=new.__getitem__)])
    smaller = torch.nn.Embedding(len(rows), table.embedding_dim, padding_idx=new["[PAD]"])
    smaller.weight.data.copy_(table.weight.data[rows])
    model.bert.embeddings.word_embeddings = smaller
    model.config.vocab_size = len(rows)
    model.config.pad_token_id = new["[PAD]"]


def wrap(tokenizer: Tokenizer, max_length: int = 512) -> BertTokenizer:
    """`tokenizer` as transformers know it, ready to be saved beside the weights."""
    return BertTokenizer(
        tokenizer_object=tokenizer, do_lower_case=True, model_max_length=max_length
    )


def read_tokenizer(backbone: Path) -> Tokenizer:
    return Tokenizer.from_file(str(backbone / "tokenizer.json"))
