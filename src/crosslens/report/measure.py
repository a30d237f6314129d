"""The measurements of a report, in order, each kept as a table as soon as it is there.

    ranking     one row per query and document: both scores, label, type, length
    queries     one row per query and measure, model and BM25
    comparison  the means of the measures, their paired difference and its interval
    types       one row per type of document, where the collection has types
    pairs       one row per pair of a contrast: the texts, both scores, the change
    reactions   one row per signal: the mean change beside the control's
    levels      one row per level of a signal that has several: the mean change
    effects     one row per pair and unit: what patching the unit restores
    units       one row per signal and unit: mean, interval, n, p, q
    null        one row per unit: what patching a pair from itself changes
    statements  what `summary` says, one row per sentence

and, unless they are left out, the tables of the circuit (`circuit`).

An interrupted run resumes with the chunk it was at; what is finished is not computed again.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import torch

from ..attribution.patching.effects import Effects
from ..attribution.patching.patching import patching
from ..contrasts.axioms import Axioms
from ..contrasts.contrast import Contrast
from ..contrasts.roles import NAMES
from ..contrasts.synonyms import LISTED, Neighbours
from ..corpora.collection import Collection
from ..effectiveness import compare, evaluate
from ..engine.sweep import sweep
from ..findings import Findings
from ..interventions.patch import patch
from ..model.encoder import CrossEncoder
from ..signals.bm25 import Bm25Index
from ..sites import Unit, units_at
from ..stats import bootstrap_interval
from .circuit import examined
from .frames import Frame, pd, read
from .question import CONTROL, Question, SIGNALS, Watch
from .ranks import by_type, run_of, scored, within
from .reactions import changes, reactions
from .shortened import Shortened
from .summary import statements


STREAMS: Final = ("resid_pre", "attn_out", "mlp_out")
ROLES: Final = tuple(name for name in NAMES if name != "[PAD]")
LEAST: Final = 1e-3  # a change of score below this is none
SHARE: Final = 0.2  # of the root mean square of a contrast: smaller changes are not divided by
SPREAD: Final = 0.05  # of the spread of the model's scores: a smaller mean change is no reaction
QUERIES_AT_ONCE: Final = 8
PAIRS_AT_ONCE: Final = 4


def measure(
    question: Question,
    model: CrossEncoder,
    collection: Collection,
    findings: Findings,
    watch: Watch = lambda step, done, total: None,
) -> None:
    """Everything a report shows, into the tables of `findings`."""
    findings.note(**described(model, collection))
    ranking = rank(question, model, collection, findings, watch)
    contrasts = built(question, model, collection, findings)
    pairs = react(contrasts, model, findings, question, float(ranking["model"].std()), watch)
    least = {signal: floor(signal, frame) for signal, frame in pairs.groupby("signal")}
    patched = {signal: each[SIGNALS[signal].level] for signal, each in contrasts.items()}
    chosen = {
        signal: worth(
            contrast,
            pairs[pairs["signal"] == signal],
            question.pairs,
            least[signal],
        )
        for signal, contrast in patched.items()
    }
    findings.note(
        least_change=least,
        patched={signal: len(contrast) for signal, contrast in chosen.items()},
    )
    units = swept(model)
    explain({s: c for s, c in chosen.items() if len(c)}, model, units, findings, question, watch)
    control(patched, model, units, findings, watch)
    if question.circuit:
        examined(question, model, collection, findings, watch)
    findings.table("statements", statements(findings), also_json=True)


def described(model: CrossEncoder, collection: Collection) -> dict[str, Any]:
    """What the model and the collection are."""
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
        },
        "collection_facts": {
            "name": collection.name,
            "digest": collection.digest,
            "source": collection.source,
            "queries": len(collection.queries),
            "documents": len(collection.documents),
            "judgements": len(collection.qrels),
            "candidates": collection.n_pairs,
            "pool": collection.pool,
            "without_text": len(collection.dropped),
        },
    }


def rank(
    question: Question,
    model: CrossEncoder,
    collection: Collection,
    findings: Findings,
    watch: Watch,
) -> Frame:
    """The candidates under the model and under BM25, and how good both rankings are."""
    sample = within(collection, question.ranking_pairs, question.seed)
    index = Bm25Index(collection.documents)
    qids = sorted(qid for qid, docids in sample.candidates.items() if docids)
    parts = list(batched_queries(qids))
    for i, part in enumerate(parts):
        watch("Ranking", i, len(parts))
        findings.chunk("ranking", str(i), lambda part=part: scored(model, index, sample, part))
    watch("Ranking", len(parts), len(parts))
    findings.gather("ranking")
    ranking = read(findings, "ranking")
    findings.note(
        ranked={
            "queries": len(qids),
            "pairs": len(ranking),
            "is_sample": sample is not collection,
            "truncated": int((ranking["cut"] > 0).sum()),
            "pool": sample.pool,
        }
    )
    if any(sample.labels.get(qid) for qid in qids):
        runs = run_of(ranking, "model"), run_of(ranking, "bm25")
        values = pd.concat(
            {run.name: evaluate(run, sample) for run in runs}, names=["system"]
        ).rename_axis("measure", axis="columns")
        findings.table("queries", values.stack().rename("value").reset_index())
        compared = compare(*runs, sample).rename(columns={"a": "model", "b": "bm25"})
        findings.table("comparison", compared, also_json=True)
    if (ranking["type"] != "").any():
        findings.table("types", by_type(ranking, seed=question.seed), also_json=True)
    return ranking


def batched_queries(qids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(qids), QUERIES_AT_ONCE):
        yield list(qids[start : start + QUERIES_AT_ONCE])


def built(
    question: Question, model: CrossEncoder, collection: Collection, findings: Findings
) -> dict[str, tuple[Contrast, ...]]:
    """The contrasts asked for, as far as this collection and this model allow them."""
    close = Neighbours(model.tokens.tokenizer, model.W_E)

    @cache  # what an Axioms knows of a collection is counted once
    def axioms(room: int) -> Axioms:
        return Axioms(
            Shortened(model, question.tokens + room),
            collection,
            question.seed,
            near=lambda term, words: LISTED.get(term) or close(term, words),
        )

    contrasts: dict[str, tuple[Contrast, ...]] = {}
    impossible: dict[str, str] = {}
    for signal in question.signals:
        try:
            kind = SIGNALS[signal]
            contrasts[signal] = kind.build(axioms(kind.room), max(question.pairs, question.scored))
        except ValueError as error:
            impossible[signal] = str(error)
    if not contrasts:
        raise ValueError(
            f"no contrast can be built from collection {collection.name!r}: "
            + "; ".join(impossible.values())
        )
    findings.note(
        left_out={
            signal: dict(each[SIGNALS[signal].level].skipped) for signal, each in contrasts.items()
        },
        impossible=impossible,
    )
    return contrasts


def react(
    contrasts: dict[str, tuple[Contrast, ...]],
    model: CrossEncoder,
    findings: Findings,
    question: Question,
    spread: float,
    watch: Watch,
) -> Frame:
    """Both scores of every pair at every level, and whether the model reacts to the signal."""
    levels = [(signal, i) for signal, each in contrasts.items() for i in range(len(each))]
    for done, (signal, i) in enumerate(levels):
        watch("Scoring contrasts", done, len(levels))
        contrast = contrasts[signal][i]
        if i != SIGNALS[signal].level:  # one point of a curve
            contrast = contrast.take(range(min(question.pairs, len(contrast))))
        findings.chunk(
            "pairs",
            f"{done}-{signal}",
            lambda s=signal, i=i, c=contrast: changes(model, c).assign(signal=s, level=i + 1),
        )
    watch("Scoring contrasts", len(levels), len(levels))
    findings.gather("pairs")
    pairs = read(findings, "pairs")
    pairs["is_patched"] = pairs["level"] == 1 + pairs["signal"].map(
        {signal: each.level for signal, each in SIGNALS.items()}
    )
    findings.table("pairs", pairs)
    main = pairs[pairs["is_patched"]]
    found = reactions(main, least=SPREAD * spread, seed=question.seed)
    findings.table("reactions", found, also_json=True)
    findings.table("levels", by_level(pairs, seed=question.seed), also_json=True)
    return main


def by_level(pairs: Frame, *, seed: int) -> Frame:
    """The mean change of score at each level of a signal, over the pairs that all levels have."""
    rows = []
    for signal, frame in pairs.groupby("signal", sort=False):
        wide = frame.pivot(index="pair", columns="level", values="change").dropna()
        if wide.shape[1] < 2 or wide.empty:
            continue
        for level in wide:
            values = wide[level].to_numpy()
            low, high = bootstrap_interval(values, seed=seed)
            rows.append(
                {
                    "signal": signal,
                    "level": level,
                    "change": values.mean(),
                    "low": float(low),
                    "high": float(high),
                    "n": len(values),
                }
            )
    return pd.DataFrame(rows, columns=["signal", "level", "change", "low", "high", "n"])


def floor(signal: str, pairs: Frame) -> float:
    """The least change of score that is patched; the control's is never divided by."""
    if signal == CONTROL:
        return LEAST
    return max(LEAST, SHARE * float(np.sqrt(pairs["change"].pow(2).mean())))


def worth(contrast: Contrast, pairs: Frame, most: int, least: float) -> Contrast:
    """The first pairs whose change of score is large enough to ask where it comes from."""
    kept = pairs.loc[pairs["change"].abs() >= least, "pair"].tolist()
    return contrast.take(kept[:most])


def swept(model: CrossEncoder) -> list[Unit]:
    """Every role in every layer of the streams, and every head."""
    streams = [unit for name in STREAMS for unit in units_at(model.sites(name), "pos", ROLES)]
    return streams + model.heads()


def explain(
    contrasts: dict[str, Contrast],
    model: CrossEncoder,
    units: list[Unit],
    findings: Findings,
    question: Question,
    watch: Watch,
) -> None:
    """What each unit restores of each contrast, pair by pair and in the mean."""
    if not contrasts:
        return
    total = sum(map(len, contrasts.values())) * len(units)
    done = 0
    for signal, contrast in contrasts.items():
        for start in range(0, len(contrast), PAIRS_AT_ONCE):
            part = contrast.take(range(start, min(start + PAIRS_AT_ONCE, len(contrast))))

            def compute(signal=signal, part=part, start=start, before=done) -> Frame:
                effects = patching(
                    model,
                    part,
                    units,
                    least=LEAST,  # smaller changes were left out above, for the whole contrast
                    progress=lambda cells, _: watch("Patching", before + cells, total),
                )
                frame = effects.frame()
                return frame.assign(signal=signal, pair=frame["pair"] + start)

            findings.chunk("effects", f"{signal}-{start}", compute)
            done += len(part) * len(units)
            watch("Patching", done, total)
    effects = findings.gather("effects")
    findings.table("units", summarised(effects, units, findings, question.seed), also_json=True)


def summarised(effects: Frame, units: list[Unit], findings: Findings, seed: int) -> Frame:
    """Mean and interval of every unit; the control's on the scale of a signal's change.

    A share of the control's own change would say nothing of its size, so that its effects are
    given in changes of score, divided by the mean change that TFC1 (or else the strongest
    signal) makes.
    """
    known = read(findings, "reactions").set_index("signal")["change"].drop(CONTROL, errors="ignore")
    strongest = abs(known.get("TFC1", 0)) or known.abs().max() if len(known) else 0
    tables = []
    for signal, frame in effects.groupby("signal", sort=False):
        if signal == CONTROL:
            if not strongest > 0:
                continue
            change = frame["recovered"] * (frame["target"] - frame["base"])
            frame = frame.assign(recovered=change / strongest)
        tables.append(restored(str(signal), frame, units).summary(seed=seed))
    return pd.concat(tables, ignore_index=True)


def restored(signal: str, frame: Frame, units: list[Unit]) -> Effects:
    """The effects that a table of them came from."""
    wide = frame.pivot(index="unit", columns="pair", values="recovered")
    sides = frame.drop_duplicates("pair").set_index("pair").loc[wide.columns]
    return Effects(
        signal,
        tuple(units),
        torch.tensor(wide.loc[[str(unit) for unit in units]].to_numpy(dtype=np.float32)),
        torch.tensor(sides["base"].to_numpy(dtype=np.float32)),
        torch.tensor(sides["target"].to_numpy(dtype=np.float32)),
        (False,) * wide.shape[1],
    )


def control(
    contrasts: dict[str, Contrast],
    model: CrossEncoder,
    units: list[Unit],
    findings: Findings,
    watch: Watch,
) -> None:
    """What patching a pair from itself does to its score: nothing, or the instrument is broken."""
    watch("Patching a pair from itself", 0, 1)
    pair = next(iter(contrasts.values())).base.take([0])

    @torch.no_grad()
    def compute() -> Frame:
        with model.record(*{unit.site for unit in units}) as itself:
            score = model(pair)
        patched = sweep(model, pair, [patch(unit, itself) for unit in units])[:, 0]
        return pd.DataFrame(
            {
                "unit": [str(unit) for unit in units],
                "score": score.item(),
                "change": (patched - score).cpu().double().numpy(),
            }
        )

    findings.chunk("null", "0", compute)
    findings.gather("null")
    watch("Patching a pair from itself", 1, 1)
