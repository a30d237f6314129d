"""The causal edit: turn the IDF of a term's embeddings up and down, and see what the score does.

Lu et al. (2025, section 4.4): U_k[t] <- ± s |U_k[t]| for the pieces t of a term, over many scales
s. If the score reads IDF there, it rises with the dose, and so does the attention of the head
that scores. Four edits stand beside it:

    to            U_k[t] moves to where a token of a given IDF stands: a dose in nats
    in the query  the edit at the term in the query only; the document keeps its rarity
    row           W_E[t] <- ± s W_E[t], the authors' control: larger, and no direction
    random        as long a step along another singular direction
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..arrays import array
from ..batching.batches import by_length
from ..engine.sweep import Progress, sweep_in_batches
from ..hooks import Hook, Hooked
from ..interventions.edit import move_rows, scale_rows, Tokens
from ..pairs import Pairs, scored_row
from ..signals.frequency import Number
from ..sites import Site, Unit
from ..stats import bootstrap_interval, spearman
from .direction import IdfDirection


SCALES: Final = (1.0, 3.0, 8.0, 15.0, 30.0)  # the authors tried 1 to 200
TERM: Final = ("Q+", "D+", "D_inj")  # every occurrence of the selected term of a contrast
QUERY_TERM: Final = "Q+"
AT_ONCE: Final = 16
ALIKE: Final = 1e-5  # of a pair's largest response
TINY: Final = np.finfo(float).tiny

Dose = tuple[str, float, Hook]  # which edit, how much, and the hook that makes it


@torch.no_grad()
def idf_doses(
    model: Hooked,
    pairs: Pairs,
    direction: IdfDirection,
    *,
    scales: Sequence[Number] = SCALES,
    targets: Sequence[Number] = (),
    n_random: int = 3,
    readers: Sequence[Unit] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The score of each pair under every edit of its selected term, at every dose.

    `pairs` are a side of a contrast: their roles say where the term stands. `targets` are IDFs,
    for the edit "to". For every head of `readers` a column "attention L.H" holds what [CLS] gives
    the term's tokens in the query, on average. One row per pair, edit and dose: `pair`, `edit`,
    `dose`, `score`, and `change` from the score without an edit (edit "none").

    Raises:
        LookupError: the pairs have no roles.
        ValueError: a scale is not above 0.
    """
    if not all(scale > 0 for scale in scales):
        raise ValueError(f"scales are above 0, found {list(scales)}: both signs of each are tried")
    token = pairs.token[pairs.where(QUERY_TERM)].unique().cpu()
    doses = _doses(direction, token, scales, targets, n_random, seed)
    plain = _read(model, pairs, [], readers)
    if readers:  # a pass that looks at attention gives the score as well
        found = []
        for done, (*_, hook) in enumerate(doses, start=1):
            found.append(_read(model, pairs, [hook], readers))
            if progress is not None:
                progress(done, len(doses))
    else:
        scores = sweep_in_batches(model, pairs, [hook for *_, hook in doses], progress=progress)
        found = [{"score": row} for row in array(scores)]
    named = [("none", np.nan), *((edit, dose) for edit, dose, _ in doses)]
    frames = [
        pd.DataFrame({"pair": range(len(pairs)), "edit": edit, "dose": dose, **columns})
        for (edit, dose), columns in zip(named, [plain, *found], strict=True)
    ]
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(change=whole["score"] - np.tile(plain["score"], len(named)))


def dose_response(doses: pd.DataFrame, *, response: str = "score") -> pd.DataFrame:
    """How steadily each edit of `idf_doses` moves a column: one row per edit.

    `monotone` is Spearman's correlation of dose and response within a pair, on average over the
    pairs, with its 95 % bootstrap interval: 1 where every step up raises the response, around 0
    where dose does not matter. `lowest` and `highest` are the mean change at the smallest and the
    largest dose. Responses of a pair that differ by less than 1e-5 of its largest are alike, as
    rounding may part them. A pair that no dose moves has no correlation and does not count in `n`.
    """
    base = doses[doses["edit"] == "none"].set_index("pair")[response]
    rows = []
    for edit, part in doses[doses["edit"] != "none"].groupby("edit", sort=False):
        table = part.pivot(index="pair", columns="dose", values=response)
        steps = table.div(ALIKE * table.abs().max(axis=1).clip(lower=TINY), axis=0).round()
        moved = steps[steps.max(axis=1) > steps.min(axis=1)]
        by_pair = np.array([spearman(moved.columns.to_numpy(), row) for row in moved.to_numpy()])
        low, high = bootstrap_interval(by_pair) if len(by_pair) else (np.nan, np.nan)
        change = table.sub(base, axis=0).mean()
        rows.append(
            {
                "edit": edit,
                "monotone": by_pair.mean() if len(by_pair) else np.nan,
                "low": float(low),
                "high": float(high),
                "lowest": change.iloc[0],
                "highest": change.iloc[-1],
                "n": len(by_pair),
            }
        )
    return pd.DataFrame(rows)


def _doses(
    direction: IdfDirection,
    token: Tokens,
    scales: Sequence[Number],
    targets: Sequence[Number],
    n_random: int,
    seed: int,
) -> list[Dose]:
    """Every edit at every dose."""
    signed = sorted({sign * float(scale) for scale in scales for sign in (-1, 1)})
    others = _others(direction, n_random, seed)
    found: list[Dose] = []
    for dose in signed:
        found.append(("idf", dose, direction.scaled(token, dose, pos=TERM)))
        found.append(("idf in the query", dose, direction.scaled(token, dose, pos=QUERY_TERM)))
        found.append(("row", dose, scale_rows(token, direction.sign * dose, pos=TERM)))
        for i, vector in enumerate(others):
            step = _steps(direction, token, dose)[:, None] * vector
            found.append((f"random {i}", dose, move_rows(token, step, pos=TERM)))
    for target in sorted(set(map(float, targets))):
        found.append(("to", target, direction.to(token, target, pos=TERM)))
        found.append(("to in the query", target, direction.to(token, target, pos=QUERY_TERM)))
    return found


def _others(direction: IdfDirection, n: int, seed: int) -> Float[Tensor, "random d_embed"]:
    """Singular directions by chance, not the one of IDF, turned by chance."""
    V, k = direction.directions.V, direction.k
    chance = np.random.default_rng(seed)
    chosen = chance.choice(np.delete(np.arange(V.shape[1]), k), size=n, replace=False)
    turned = torch.as_tensor(chance.choice([-1.0, 1.0], size=n), dtype=V.dtype, device=V.device)
    return turned[:, None] * V[:, chosen].mT


def _steps(direction: IdfDirection, token: Tokens, dose: float) -> Float[Tensor, " row"]:
    """How far `IdfDirection.scaled` moves each token along its direction."""
    here = direction.directions.at(token, direction.k)
    return (direction.sign * dose * here.abs() - here) * direction.directions.S[direction.k]


def _read(
    model: Hooked, pairs: Pairs, hooks: Sequence[Hook], readers: Sequence[Unit]
) -> dict[str, np.ndarray]:
    """The scores, and what the scored row gives the term in each reader, by batches."""
    term = pairs.where(QUERY_TERM)
    found = {"score": np.empty(len(pairs))}
    found |= {_column(reader): np.empty(len(pairs)) for reader in readers}
    layers = {reader.site.layer for reader in readers}

    def run(rows: list[int]) -> dict[str, np.ndarray]:
        some = pairs.take(rows)
        here = term[rows][:, : some.token.shape[1]]
        with model.hooked(*hooks), model.record(*(Site("pattern", i) for i in layers)) as cache:
            seen = {"score": array(model(some))}
        for reader in readers:
            pattern = cache[Site("pattern", reader.site.layer).at(**dict(reader.coordinates))]
            share = (scored_row(pattern, some.scored)[:, 0] * here).sum(dim=1) / here.sum(dim=1)
            seen[_column(reader)] = array(share)
        return seen

    for rows, seen in by_length(run, pairs, AT_ONCE):
        for name, values in seen.items():
            found[name][rows] = values
    return found


def _column(reader: Unit) -> str:
    return f"attention {reader.site.layer}.{dict(reader.coordinates)['head']}"
