"""What the model and the collection of a report are, as the page states them."""

from typing import Any

from ..corpora.collection import Collection
from ..model.encoder import CrossEncoder


def described(model: CrossEncoder, collection: Collection) -> dict[str, Any]:
    """The sizes of the model, and how many texts and judgements the collection has."""
    cfg = model.cfg
    return {
        "model": {
            "checkpoint": cfg.checkpoint,
            "family": cfg.family,
            "layers": cfg.n_layers,
            "heads": cfg.n_heads,
            "d_model": cfg.d_model,
            "d_mlp": cfg.d_mlp,
            "norm": cfg.norm,
            "labels": cfg.n_labels,
            "positions": cfg.n_positions,
            "parameters": sum(value.numel() for value in model.parameters()),
            "vocabulary": model.W_E.shape[0],
            "score": str(model.relevance),
            "activation": type(model.activation).__name__,
            "truncation": model.tokens.truncation,
            "template": None if model.tokens.layout is None else str(model.tokens.layout),
        },
        "collection_facts": {
            "name": collection.name,
            "source": collection.source,
            "queries": len(collection.queries),
            "documents": len(collection.documents),
            "judgements": len(collection.qrels),
            "candidates": collection.n_pairs,
            "pool": collection.pool,
            "without_text": len(collection.dropped),
            "digest": collection.digest,
        },
    }
