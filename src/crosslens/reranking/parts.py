"""A ranking made part by part: what is finished is kept, and one part at a time is in memory.

A part is some queries, 250 pairs at most, or one query. Its table has one row per pair: qid, docid,
`score`, the `cut` tokens that the model did not read, and what it is compared with: the score of
the model as it is (`unedited`), or the place in the run that was reranked (`given`, as minus the
rank).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

from ir_measures import Qrel

from ..corpora.collection import Collection
from ..effectiveness import agreement, by_query, differences, standard_measures
from ..findings import Findings
from ..frames import Frame, pd
from ..ranking import Run
from .scorer import scored, Scorer


PAIRS: Final = 250  # of a part, or those of one query
SCORE: Final = "score"
UNEDITED: Final = "unedited"
GIVEN: Final = "given"
TABLE: Final = "scores"


@dataclass(frozen=True)
class Parts:
    """The queries to rank, in parts; the model, and perhaps the same without interventions."""

    texts: Collection
    scorers: Mapping[str, Scorer]  # by the column that they fill
    given: bool  # whether the candidates are those of a run, best first

    @property
    def baseline(self) -> str:
        """The column that the score is compared with; none is the empty text."""
        return UNEDITED if UNEDITED in self.scorers else GIVEN if self.given else ""

    def keys(self) -> dict[str, list[str]]:
        """The parts, by their place and by what is in them, with the ids of their queries."""
        groups: list[list[str]] = []
        n = 0
        for qid, docids in self.texts.candidates.items():
            if not docids:
                continue
            if not groups or n + len(docids) > PAIRS:
                groups.append([])
                n = 0
            groups[-1].append(qid)
            n += len(docids)
        return {
            f"{i}-{sha256(repr(qids).encode()).hexdigest()[:8]}": qids
            for i, qids in enumerate(groups)
        }

    def tables(self, findings: Findings, watch: Callable[[str, int, int], None]) -> Iterator[Frame]:
        """The table of every part: read where it is finished, else scored and kept."""
        parts = self.keys()
        sizes = {key: sum(len(self.texts.candidates[q]) for q in parts[key]) for key in parts}
        scored, passed, total = 0, 0, sum(sizes[key] for key in findings.shown(parts))
        watch("Reranking", 0, total)

        def table(qids: list[str]) -> dict[str, Frame]:
            nonlocal scored
            rows = []
            for qid in qids:
                rows.append(self.of_query(qid))
                scored += len(rows[-1])
                watch("Reranking", scored, total)
            return {TABLE: pd.concat(rows, ignore_index=True)}

        keyed = {key: partial(table, qids) for key, qids in parts.items()}
        for key, found in zip(keyed, findings.parts([TABLE], keyed), strict=True):
            passed += sizes[key]
            scored = max(scored, passed)
            watch("Reranking", scored, total)
            yield found[TABLE]

    def of_query(self, qid: str) -> Frame:
        """The rows of one query."""
        docids = self.texts.candidates[qid]
        scores, cut = scored([*self.scorers.values()], qid, self.texts, docids)
        columns = {name: each.numpy() for name, each in zip(self.scorers, scores, strict=True)}
        if self.given:
            columns[GIVEN] = [-float(rank) for rank in range(1, len(docids) + 1)]  # type: ignore[assignment]
        return pd.DataFrame({"qid": qid, "docid": list(docids), **columns, "cut": cut.numpy()})


def run_of(table: Frame, column: str = SCORE) -> Run:
    """The ranking of a part by one of its columns."""
    return Run.of_frame(table[["qid", "docid"]].assign(score=table[column]))


@dataclass
class Comparison:
    """What is counted of every part: measures by query, and what the interventions changed."""

    parts: Parts
    pairs: int = 0
    cut: int = 0
    changed: int = 0  # pairs whose score is not the unedited one
    values: dict[str, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    alike: list[Frame] = field(default_factory=list)
    by_qid: dict[str, list[Qrel]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for qrel in self.parts.texts.judgements:
            self.by_qid[qrel.query_id].append(qrel)

    def add(self, table: Frame) -> None:
        """Count one part."""
        self.pairs += len(table)
        self.cut += int((table["cut"] > 0).sum())
        baseline = self.parts.baseline
        runs = {column: run_of(table, column) for column in (SCORE, baseline) if column}
        judgements = [qrel for qid in runs[SCORE] for qrel in self.by_qid.get(qid, ())]
        if judgements:
            measures = standard_measures(self.parts.texts.judgements)
            for column, run in runs.items():
                self.values[column].append(by_query(run, judgements, measures))
        if baseline == UNEDITED:
            self.changed += int((table[SCORE] != table[UNEDITED]).sum())
            several = {qid: ranked for qid, ranked in runs[SCORE].items() if len(ranked) > 1}
            if several:
                self.alike.append(agreement(Run(several), runs[baseline]))

    @property
    def missing(self) -> int:
        """How many judged queries are not ranked: they count as 0, as TREC counts them."""
        return len(self.by_qid.keys() - self.parts.texts.candidates.keys())

    def measured(self, column: str = SCORE) -> Frame:
        """Every measure of every judged query: one row per query, one column per measure."""
        found = pd.concat(self.values[column])
        return found.reindex(list(self.by_qid), fill_value=0.0)

    def measures(self) -> Frame | None:
        """One row per measure: the mean, and where there is a baseline what `compare` gives.

        None where no query that is ranked is judged.
        """
        if SCORE not in self.values:
            return None
        one = self.measured()
        if self.parts.baseline:
            return differences(one, self.measured(self.parts.baseline))
        return pd.DataFrame({"a": one.mean(), "n": len(one)}).rename_axis("measure")
