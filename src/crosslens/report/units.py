"""What each unit of a model restores of each contrast: token roles in every layer, and heads."""

from collections.abc import Sequence
from typing import Final

import torch

from crosslens.circuits.evidence import Evidence
from crosslens.circuits.reaction import CONTROL
from crosslens.circuits.thresholds import ROUNDING

from ..attribution.patching.effects import Effects
from ..attribution.patching.patching import patching
from ..contrasts.contrast import Contrast
from ..contrasts.roles import OF_TEXTS
from ..engine.sweep import sweep
from ..findings import Findings
from ..interventions.patch import patch
from ..model.encoder import CrossEncoder
from ..not_measurable import NotMeasurable
from ..sites import Unit, units_at
from .frames import Frame, pd, read
from .question import Question, SIGNALS, Watch


STREAMS: Final = ("resid_pre", "attn_out", "mlp_out")
ROLES: Final = OF_TEXTS
PAIRS_AT_ONCE: Final = 5  # pairs that an interruption may cost


def swept(model: CrossEncoder) -> list[Unit]:
    """Every role in every layer of the streams, and every head."""
    streams = [unit for name in STREAMS for unit in units_at(model.sites(name), "pos", ROLES)]
    return streams + model.heads()


def worth_patching(evidence: Evidence, signal: str) -> tuple[Contrast | None, float]:
    """The pairs of a signal that are patched, if there are any, and the least change they show.

    A share of next to nothing is any number. The control's effects are not shares of its own
    change, so that its pairs need only differ.
    """
    level = SIGNALS[signal].level
    if signal != CONTROL:
        least = evidence.least(signal, level)
        try:
            return evidence.explained(signal, level), least
        except NotMeasurable:  # the model scores both sides alike
            return None, least
    table = evidence.changes(signal, level)
    kept = table.loc[table["change"].abs() >= ROUNDING, "pair"].tolist()[: evidence.n]
    return (evidence.levels(signal)[level].take(kept) if kept else None), ROUNDING


def explain(
    signals: Sequence[str],
    evidence: Evidence,
    units: list[Unit],
    findings: Findings,
    question: Question,
    watch: Watch,
) -> None:
    """What each unit restores of each contrast, pair by pair and in the mean."""
    chosen = {signal: worth_patching(evidence, signal) for signal in signals}
    findings.note(
        least_change={signal: least for signal, (_, least) in chosen.items()},
        patched={signal: 0 if each is None else len(each) for signal, (each, _) in chosen.items()},
    )
    contrasts = {signal: each for signal, (each, _) in chosen.items() if each is not None}
    if not contrasts:
        return
    total = sum(map(len, contrasts.values())) * len(units)
    done = 0
    for signal, contrast in contrasts.items():
        for start in range(0, len(contrast), PAIRS_AT_ONCE):
            part = contrast.take(slice(start, start + PAIRS_AT_ONCE))

            def compute(signal=signal, part=part, start=start, before=done) -> Frame:
                effects = patching(
                    evidence.model,
                    part,
                    units,
                    least=ROUNDING,  # smaller changes were left out above, for the whole contrast
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
        tables.append(Effects.of_frame(frame, units).summary(seed=seed))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


COLUMNS: Final = ["signal", "unit", "site", "layer", "part", "mean", "low", "high", "n", "p", "q"]


def control(
    signals: Sequence[str],
    evidence: Evidence,
    units: list[Unit],
    findings: Findings,
    watch: Watch,
) -> None:
    """What patching a pair from itself does to its score: nothing, or the instrument is broken."""
    watch("Patching a pair from itself", 0, 1)
    model = evidence.model
    pair = evidence.levels(signals[0])[SIGNALS[signals[0]].level].base.take([0])

    @torch.no_grad()
    def compute() -> Frame:
        with model.record(*{unit.site for unit in units}) as itself:
            score = model(pair)
        patched = sweep(model, pair, [patch(unit, itself) for unit in units])[:, 0]
        return pd.DataFrame(
            {
                "unit": [str(unit) for unit in units],
                "score": score.item(),
                "change": (patched - score).double().numpy(force=True),
            }
        )

    findings.chunk("null", "0", compute)
    findings.gather("null")
    watch("Patching a pair from itself", 1, 1)
