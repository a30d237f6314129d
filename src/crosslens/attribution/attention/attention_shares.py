"""The read-out: what the token that is scored reads, head by head.

The last step of a relevance computation stands in one row of attention: what [CLS] takes from
each token. By how much it follows the rarity of the query's tokens, or how often each is
matched, says what is added up (Lu et al., 2025, section 4).

Pairs of like length run together, and fewer where memory runs out.
"""

from collections.abc import Mapping, Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from ...batching.in_batches import in_batches
from ...hooks import Hooked
from ...pairs import Pairs, require_rows, SEGMENTS


PARTS = tuple(name for name in SEGMENTS if name != "pad")


@torch.no_grad()
def attention_shares(
    model: Hooked, pairs: Pairs, *, dst: str | None = None, src: Sequence[str] | None = None
) -> Mapping[str, Float[Tensor, "head pair"]]:
    """How much of its attention a token of `dst` gives to the tokens of each segment or role.

    By name, for every head; the mean over the tokens of `dst`, nan where there is none. By
    default what the scored row reads of every segment that some pair has.
    """
    if src is None:
        src = [name for name in PARTS if pairs.where(name).any()]
    names = list(src)

    def read(some: Pairs, _: list[int]) -> Float[Tensor, "set head pair"]:
        reader = some.is_scored if dst is None else some.where(dst)
        return shares(model, some, reader[None], torch.stack([some.where(name) for name in names]))

    return dict(zip(names, in_batches(model, pairs, "set head pair", read), strict=True))


@torch.no_grad()
def attention_follows(
    model: Hooked, pairs: Pairs, value: Float[Tensor, "pair pos"], *, among: str = "query"
) -> Float[Tensor, "head pair"]:
    """Pearson's r of what the scored row gives to each token and the `value` of that token.

    Over the tokens of `among`, pair by pair: the IDF of every token (`idf[pairs.token]`), or
    how often it is matched (`soft_tf`, summed over heads). Nan where one of the two is constant
    or there are fewer than three tokens.

    Raises:
        NotMeasurable: no row is scored.
    """
    require_rows(pairs.scored)

    def follows(some: Pairs, rows: list[int]) -> Float[Tensor, "head pair"]:
        return _correlated(model, some, value[rows][:, : some.token.shape[1]], among)

    return in_batches(model, pairs, "head pair", follows)


def _correlated(
    model: Hooked, pairs: Pairs, value: Float[Tensor, "pair pos"], among: str
) -> Float[Tensor, "head pair"]:
    """As `attention_follows`, of pairs that run together."""
    kept = pairs.where(among).to(value)
    n = kept.sum(dim=1)
    found: list[Tensor] = []
    each = torch.arange(len(pairs), device=pairs.device)

    def centred(row: Float[Tensor, "*head pair pos"]) -> Tensor:
        return (row - (row * kept).sum(dim=-1, keepdim=True) / n[:, None]) * kept

    wanted = centred(value)

    def correlate(pattern: Tensor) -> None:
        row = rearrange(pattern[each, :, pairs.scored], "pair head src -> head pair src")
        read = centred(row.to(value))
        size = read.square().sum(dim=-1) * wanted.square().sum(dim=-1)
        r = (read * wanted).sum(dim=-1) / size.sqrt()
        found.append(r.masked_fill((n < 3) | (size == 0), torch.nan))

    with model.tapped([(site, correlate) for site in model.sites("pattern")]):
        model(pairs)
    return torch.cat(found)


@torch.no_grad()
def attention_within_query(model: Hooked, pairs: Pairs) -> Float[Tensor, "head pair"]:
    """The share of attention of query tokens to other query tokens, above that of even attention.

    For every head; the mean over the query tokens. Even attention is spread over all tokens that
    one can read: in a decoder those up to itself. Heads that pass on within the query what was
    matched on read so (Lu et al., 2025, section 4).
    """
    return in_batches(model, pairs, "head pair", lambda some, _: _within_query(model, some))


def _within_query(model: Hooked, pairs: Pairs) -> Float[Tensor, "head pair"]:
    """As `attention_within_query`, of pairs that run together."""
    query = pairs.where("query")
    n = query.sum(dim=1)
    even = (n - 1) / pairs.lengths
    if model.is_causal:
        before = query.cumsum(dim=1) - 1  # other query tokens, of all up to this one
        up_to = torch.arange(1, query.shape[1] + 1, device=pairs.device)
        even = (before / up_to * query).sum(dim=1) / n
    found: list[Tensor] = []

    def count(pattern: Tensor) -> None:
        q = query.to(pattern)
        both = einsum(pattern, q, q, "pair head dst src, pair dst, pair src -> head pair")
        own = einsum(pattern, q, "pair head dst dst, pair dst -> head pair")
        found.append((both - own) / n - even)

    with model.tapped([(site, count) for site in model.sites("pattern")]):
        model(pairs)
    return torch.cat(found)


def shares(
    model: Hooked,
    pairs: Pairs,
    dst: Bool[Tensor, "#set pair dst"],
    src: Bool[Tensor, "set pair src"],
) -> Float[Tensor, "set head pair"]:
    """What a token of each set of `dst` gives to all tokens of `src`, on average over `dst`.

    Of pairs that run together.
    """
    found: list[Tensor] = []

    def count(pattern: Tensor) -> None:
        d, s = dst.expand_as(src).to(pattern), src.to(pattern)
        total = einsum(pattern, d, s, "pair head i j, set pair i, set pair j -> set head pair")
        found.append(total / d.sum(dim=2)[:, None])

    # summed as it passes: the patterns of all layers together may not fit into memory
    with model.tapped([(site, count) for site in model.sites("pattern")]):
        model(pairs)
    return torch.cat(found, dim=1)
