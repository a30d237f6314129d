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

and, unless they are left out, the tables of the circuit (`circuit`). What these texts or this model
do not allow has no table, and the run's notes say why.

An interrupted run resumes with the chunk it was at; what is finished is not computed again.
"""

from crosslens.circuits.evidence import Evidence

from ..corpora.collection import Collection
from ..findings import Findings
from ..model.encoder import CrossEncoder
from .circuit import examined
from .described import described
from .question import Question, Watch
from .ranks import rank
from .signals import possible, react
from .summary import statements
from .units import control, explain, swept


def measure(
    question: Question,
    model: CrossEncoder,
    collection: Collection,
    findings: Findings,
    watch: Watch = lambda step, done, total: None,
) -> None:
    """Everything a report shows, into the tables of `findings`.

    Raises:
        NotMeasurable: there is not one query and document to score.
    """
    evidence = Evidence.of(
        model,
        collection,
        question.pairs,
        seed=question.seed,
        tokens=question.tokens,
        scored=question.scored,
        watch=watch,
    )
    findings.note(**described(model, collection), unreadable=dict(evidence.left_out))
    rank(question, model, evidence.ranked, findings, watch)
    signals = possible(question, evidence, findings)
    if signals:
        react(signals, evidence, findings, question, watch)
        units = swept(model)
        explain(signals, evidence, units, findings, question, watch)
        control(signals, evidence, units, findings, watch)
    if question.circuit:
        examined(evidence, findings, edges=question.edges)
    findings.table("statements", statements(findings), also_json=True)
