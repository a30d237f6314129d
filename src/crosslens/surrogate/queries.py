"""Queries cut to their first tokens, so that every pair has as many."""

from dataclasses import replace

import torch

from ..pairs import NOT_A_WORD, Pairs, Segment


def first_tokens(pairs: Pairs, n: int) -> Pairs:
    """The pairs with only the first `n` tokens of each query, the document whole.

    What follows the query moves up. The authors cut the query as well, but count document tokens
    from where the document began before (Lu et al., 2025, their notebook); here every token
    keeps its segment.

    Raises:
        ValueError: a query has fewer tokens.
    """
    query = pairs.where("query")
    if short := (query.sum(dim=1) < n).nonzero().flatten().tolist():
        raise ValueError(f"the queries of pairs {short} have fewer than {n} tokens; leave them out")
    if n < 1:
        raise ValueError(f"a query keeps at least one token, not {n}")
    kept = ~(query & (query.cumsum(dim=1) > n)) & pairs.attended
    order = kept.long().argsort(dim=1, descending=True, stable=True)
    order = order[:, : int(kept.sum(dim=1).max())]
    changed = {}
    for name in ("token", "segment", "word", "span", "role"):
        values = getattr(pairs, name)
        if values is not None:
            at = order if values.dim() == 2 else order[:, :, None].expand(-1, -1, values.shape[2])
            changed[name] = values.gather(1, at)
    beyond = torch.arange(order.shape[1], device=order.device) >= kept.sum(dim=1)[:, None]
    changed["segment"] = changed["segment"].masked_fill(beyond, int(Segment.PAD))
    changed["word"] = changed["word"].masked_fill(beyond, NOT_A_WORD)
    return replace(pairs, **changed)
