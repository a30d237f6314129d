"""Queries cut to their first tokens, so that every pair has as many."""

from ..pairs import Pairs


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
    return pairs.only(~(query & (query.cumsum(dim=1) > n)))
