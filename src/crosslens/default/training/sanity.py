"""Does it behave like a cross-encoder? What its scores lose when a pair is spoilt on purpose.

Four ways to spoil a relevant pair, the second a control that should cost little:

- the query's most telling word is taken out of the document;
- a word of the document as rare as that one, but not the query's, is taken out instead;
- the document is replaced by one that answers another question;
- query and document may not attend to each other in any layer (special tokens may).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertForSequenceClassification

from ...corpora.collection import Collection
from .phrases import FUNCTION_WORDS, Rarity, words
from .reading import Reader, score, TESTED


class Drop(NamedTuple):
    """What a change costs: the mean loss in logits, and the share of pairs that lose anything."""

    mean: float
    share: float
    pairs: int


def drops(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    collection: Collection,
    least_grade: int,
) -> Mapping[str, Drop]:
    """The cost of each spoiling, over the pairs of at least `least_grade` that it applies to."""
    rarity = Rarity.of(collection.documents.values())
    whole, spoilt = [], {"query term removed": [], "other term removed": [], "other answer": []}
    relevant = [
        (collection.queries[qid], collection.documents[docid], qid)
        for qid, grades in collection.labels.items()
        for docid, grade in sorted(grades.items())
        if grade >= least_grade
    ]
    for i, (query, document, qid) in enumerate(relevant):
        asked = set(words(query)) - FUNCTION_WORDS
        in_documents = set(words(document)) - FUNCTION_WORDS
        if not (shared := sorted(asked & in_documents)) or not (
            others := sorted(in_documents - asked)
        ):
            continue
        term = max(shared, key=rarity.__getitem__)
        other = min(others, key=lambda word, t=term: abs(rarity[word] - rarity[t]))
        elsewhere = next(d for _, d, q in (*relevant[i:], *relevant) if q != qid)
        whole.append((query, document))
        spoilt["query term removed"].append((query, without(document, term)))
        spoilt["other term removed"].append((query, without(document, other)))
        spoilt["other answer"].append((query, elsewhere))
    if not whole:
        raise ValueError(
            f"{collection.name} has no document of grade {least_grade} or more that shares a word "
            "with its query, so there is no pair to spoil"
        )
    intact = scores_of(model, tokenizer, whole)
    found = {name: scores_of(model, tokenizer, pairs) for name, pairs in spoilt.items()}
    found["no attention between them"] = scores_of(model, tokenizer, whole, apart=True)
    return {
        name: Drop(float(np.mean(intact - scores)), float(np.mean(intact > scores)), len(whole))
        for name, scores in found.items()
    }


def without(document: str, term: str) -> str:
    """`document` with every occurrence of the word `term` left out."""
    return " ".join(word for word in document.split() if term not in words(word))


def scores_of(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    apart: bool = False,
) -> Float[np.ndarray, " pair"]:
    """The logit of every pair of texts; read `apart`, neither text may attend to the other."""
    texts = [text for pair in pairs for text in pair]
    reader = Reader.of(texts, tokenizer, TESTED)
    places = [(2 * i, 2 * i + 1) for i in range(len(pairs))]
    with torch.inference_mode():
        if not apart:
            return score(model, reader, places, bfloat16=False).numpy()
        logits = []
        for place in places:
            batch = reader.batch([place])
            batch["attention_mask"] = keep_apart(batch, reader)
            logits.append(model(**batch).logits.item())
    return np.array(logits, dtype=np.float32)


def keep_apart(
    batch: Mapping[str, Int[Tensor, "pair pos"]], reader: Reader
) -> Float[Tensor, "pair 1 dst src"]:
    """The mask added to attention scores: -inf, as good as, between query and document tokens."""
    token, in_document = batch["input_ids"], batch["token_type_ids"].bool()
    special = (token == reader.cls) | (token == reader.sep)
    query, document = ~in_document & ~special, in_document & ~special
    across = query[:, :, None] & document[:, None, :]
    across = across | across.transpose(1, 2)
    mask = across.float() * torch.finfo(torch.float32).min
    return mask[:, None]
