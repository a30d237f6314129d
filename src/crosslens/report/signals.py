"""The contrasts of a report: which these texts allow, and what each does to the score."""

from collections.abc import Sequence
from typing import Any

import pandas

from crosslens.circuits.evidence import Evidence
from crosslens.circuits.reaction import reactions
from crosslens.circuits.scores import changes

from ..findings import Findings
from ..not_measurable import NotMeasurable
from ..stats import bootstrap_interval
from .frames import Frame, pd, read
from .question import Question, SIGNALS, Watch


def possible(question: Question, evidence: Evidence, findings: Findings) -> list[str]:
    """The signals of the question that these texts and this model allow; why not the others."""
    impossible, left_out = {}, {}
    for signal in question.signals:
        try:
            contrast = evidence.levels(signal)[SIGNALS[signal].level]
        except NotMeasurable as error:
            impossible[signal] = str(error)
        else:
            left_out[signal] = dict(contrast.skipped)
    findings.note(left_out=left_out, impossible=impossible)
    return list(left_out)


def react(
    signals: Sequence[str],
    evidence: Evidence,
    findings: Findings,
    question: Question,
    watch: Watch,
) -> None:
    """Both scores of every pair at every level, and whether the model reacts to the signal."""
    levels = [(signal, i) for signal in signals for i in range(len(evidence.levels(signal)))]
    for done, (signal, i) in enumerate(levels):
        watch("Scoring contrasts", done, len(levels))

        def scored(signal: str = signal, i: int = i) -> Frame:
            if i == SIGNALS[signal].level:
                table: Any = evidence.changes(signal, i)
            else:  # one point of a curve
                contrast = evidence.levels(signal)[i].take(slice(question.pairs))
                table = changes(evidence.model, contrast)
            return table.assign(signal=signal, level=i + 1)

        findings.chunk("pairs", f"{done}-{signal}", scored)
    watch("Scoring contrasts", len(levels), len(levels))
    findings.gather("pairs")
    pairs = read(findings, "pairs")
    patched = {signal: each.level + 1 for signal, each in SIGNALS.items()}
    pairs["is_patched"] = pairs["level"] == pairs["signal"].map(patched)
    findings.table("pairs", pairs)
    found: pandas.DataFrame = reactions(pairs[pairs["is_patched"]], seed=question.seed)
    findings.table("reactions", found, also_json=True)
    findings.table("levels", by_level(pairs, seed=question.seed), also_json=True)


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
