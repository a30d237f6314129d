"""Evidence: what the tests of the claims share, each part measured once, when first used.

A claim's detector takes an `Evidence` and uses what it needs; claims that need the same contrast
use the same pairs. A report draws its tables from the same evidence, so that its verdicts are those
of `crosslens circuits test` on the same model, texts, seed and number of pairs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final

import torch

from crosslens import (
    Axioms,
    Circuit,
    Collection,
    Contrast,
    CrossEncoder,
    NotMeasurable,
    Pairs,
    trace,
    Unit,
)
from crosslens.attribution import Chain, smallest_contrast
from crosslens.contrasts import AXIOMS, LISTED, Neighbours, Shortened
from crosslens.corpora import readable
from crosslens.frames import Column, Frame, pd
from crosslens.idf import idf_direction, IdfDirection, TokenIdf
from crosslens.surrogate import (
    BestColumn,
    compare_formulas,
    Fit,
    fit_score,
    formulas_of,
    observe_candidates,
    Observed,
)

from .reaction import CONTROL, reactions
from .scores import changes
from .thresholds import SCORED


Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is

ROOM: Final = {"TFC2": 16, "LNC2": 64}  # tokens that an edit takes beyond what others do
TOO_LONG: Final = "is too long for contrasts in pairs of {} tokens, and is ranked alone"
STAGES: Final = 3  # of path patching from the score back, as in Lu et al. (2025), section 4
DOCUMENTS: Final = 8  # of a query whose ranking is explained


@dataclass(frozen=True, eq=False)
class Evidence:
    """A model, and the texts on which it is tested.

    `axioms` builds contrasts of pairs short enough to sweep; `roomy(tokens)` those whose edits
    take so many tokens more, by default the same. A contrast has at most `n` pairs, chosen from
    `scored`; tests of rankings take twice as many queries.
    """

    model: CrossEncoder
    axioms: Axioms
    n: int = 10
    roomy: Callable[[int], Axioms] | None = None
    scored: int = SCORED
    watch: Watch = lambda step, done, total: None
    left_out: Mapping[str, str] = field(default_factory=dict)  # unreadable texts, and why
    whole: Collection | None = None  # where shorter pairs leave out more: all that can be ranked
    _levels: dict[str, tuple[Contrast, ...]] = field(default_factory=dict, init=False, repr=False)
    _changes: dict[tuple[str, int], Frame] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        model: CrossEncoder,
        collection: Collection,
        n: int,
        *,
        seed: int = 0,
        tokens: int = 64,
        scored: int = SCORED,
        watch: Watch = lambda step, done, total: None,
    ) -> "Evidence":
        """The evidence of pairs of at most `tokens` tokens, and more where an edit needs more.

        Texts that the model cannot read are left out, and listed; of those that it reads, queries
        beside which pairs so short hold no document.

        Raises:
            NotMeasurable: the model can read no query, or no document.
        """
        texts = readable(model, collection)
        short = readable(Shortened(model, tokens), texts.collection, TOO_LONG.format(tokens))
        left_out = {**texts.left_out, **short.left_out}
        close = Neighbours(model.tokens.tokenizer, model.W_E)

        @cache  # the collection's words are counted once for each length
        def axioms(more: int) -> Axioms:
            return Axioms(
                Shortened(model, tokens + more),
                short.collection,
                seed,
                near=lambda term, words: LISTED.get(term) or close(term, words),
            )

        most = max(n, scored)
        return cls(model, axioms(0), n, axioms, most, watch, left_out, texts.collection)

    @property
    def checkpoint(self) -> str:
        return self.model.cfg.checkpoint

    @property
    def collection(self) -> Collection:
        return self.axioms.collection

    @property
    def ranked(self) -> Collection:
        """All texts that the model reads in pairs of its own length."""
        return self.axioms.collection if self.whole is None else self.whole

    @property
    def seed(self) -> int:
        return self.axioms.seed

    def pairs(self, queries: list[str], documents: list[str]) -> Pairs:
        """Pairs as the contrasts have them: of the same length at most."""
        return self.axioms.model.pairs(queries, documents)

    # --- contrasts ---------------------------------------------------------------------

    def levels(self, signal: str) -> tuple[Contrast, ...]:
        """The contrast of a signal, at each of its levels, whether it changes the score or not.

        Raises:
            NotMeasurable: no pair of these texts allows it.
        """
        if signal not in self._levels:
            self._levels[signal] = AXIOMS[signal].build(self._axioms(signal), self.scored)
        return self._levels[signal]

    def changes(self, signal: str, level: int = 0) -> Frame:
        """What `scores.changes` gives for a level of a signal, with the signal's name."""
        if (signal, level) not in self._changes:
            table = changes(self.model, self.levels(signal)[level])
            self._changes[signal, level] = table.assign(signal=signal)
        return self._changes[signal, level]

    def explained(self, signal: str, level: int = 0) -> Contrast:
        """The first `n` pairs with a change of score to explain; see `smallest_contrast`.

        Raises:
            NotMeasurable: no pair has one.
        """
        table = self.changes(signal, level)
        least = self.least(signal, level)
        kept = table.loc[table["change"].abs() >= least, "pair"].tolist()
        if not kept:
            raise NotMeasurable(f"no pair of {signal} changes its score by {least:.3g} or more")
        return self.levels(signal)[level].take(kept[: self.n])

    def least(self, signal: str, level: int = 0) -> float:
        """The smallest change of score that is divided by."""
        table = self.changes(signal, level)
        base, target = (torch.tensor(table[side].to_numpy()) for side in ("base", "target"))
        return smallest_contrast(base, target)

    @cached_property
    def tfc1(self) -> Contrast:
        """One more exact match, in pairs whose score it changes."""
        return self.explained("TFC1")

    @cached_property
    def saturation(self) -> tuple[Contrast, ...]:
        """One to five occurrences of a term."""
        return tuple(each.take(slice(self.n)) for each in self.levels("TFC2"))

    @cached_property
    def lengthened(self) -> tuple[Pairs, ...]:
        """No to four irrelevant sentences, without filler."""
        return self._axioms("LNC2").lengthened(self.n)

    def _axioms(self, signal: str) -> Axioms:
        return self.axioms if self.roomy is None else self.roomy(ROOM.get(signal, 0))

    # --- whether there is anything to explain ----------------------------------------------

    def reaction(self, signal: str) -> Column:
        """The row of `reactions` for a signal.

        Raises:
            NotMeasurable: these texts have no such pairs, or too few to tell.
        """
        both = pd.concat([self.changes(signal), self.changes(CONTROL)])
        row = reactions(both, seed=self.seed).set_index("signal").loc[signal]
        if row["untested"]:
            raise NotMeasurable(str(row["untested"]))
        return row

    # --- the circuit -----------------------------------------------------------------------

    @cached_property
    def traced(self) -> tuple[Contrast, ...]:
        """The contrasts the circuit is traced on: TFC1, and STMC1 where the model reacts to it."""
        try:
            soft = (self.explained("STMC1"),) if self.reaction("STMC1")["reacts"] else ()
        except NotMeasurable:  # these texts have no soft match: exact ones are left
            soft = ()
        return (self.tfc1, *soft)

    @cached_property
    def chain(self) -> Chain:
        """Which heads write the score, which write what those read, and so on."""
        self.watch("Tracing the circuit", 0, 1)
        found = trace(self.model, self.traced, most=STAGES)
        self.watch("Tracing the circuit", 1, 1)
        return found

    @property
    def is_traced(self) -> bool:
        """Whether the chain was needed so far."""
        return "chain" in vars(self)

    @cached_property
    def circuit(self) -> Circuit:
        """The chain as a claim about this checkpoint."""
        return self.chain.circuit("semantic BM25", self.checkpoint)

    def members(self, role: str) -> list[Unit]:
        """The heads of the circuit with this role, layer by layer; there may be none."""
        return sorted(self.circuit.roles.get(role, ()))

    # --- rankings --------------------------------------------------------------------------

    @cached_property
    def observed(self) -> Observed:
        """Query-document pairs as every head reads them, with their scores."""
        some = self.collection.sample(2 * self.n, DOCUMENTS, self.seed)

        def progress(done: int, total: int) -> None:
            self.watch("Observing candidates", done, total)

        return observe_candidates(self.model, some, self.model.heads(), progress=progress)

    @cached_property
    def formulas(self) -> Frame:
        """How well a BM25-like formula of the matching heads predicts the score, beside controls.

        Raises:
            NotMeasurable: the circuit has no matching head.
        """
        return compare_formulas(
            self.observed,
            self._matching(),
            self.idf.values,
            self.token_idf.filled(),
            seed=self.seed,
        )

    @cached_property
    def fits(self) -> tuple[Fit, Fit]:
        """The formula of soft term frequency and IDF, and BM25 tuned to the score: both for
        queries that they were not fitted on."""
        formulas = formulas_of(
            self.observed, self._matching(), self.idf.values, self.token_idf.filled()
        )
        (soft,), (tuned,) = formulas["soft BM25"], formulas["BM25, tuned"]
        return (
            fit_score(soft, self.observed),
            fit_score(tuned, self.observed, estimator=BestColumn()),
        )

    def _matching(self) -> list[Unit]:
        heads = self.members("matching")
        if not heads:
            raise NotMeasurable(
                "no matching head was found, so that no soft term frequency can be counted"
            )
        return heads

    # --- document frequency --------------------------------------------------------------

    @cached_property
    def token_idf(self) -> TokenIdf:
        """How rare each token is, in the collection's own documents."""
        tokenizer: Any = self.model.tokens.tokenizer  # a fast one, as the pair tokenizer asked
        return TokenIdf.of_documents(tokenizer, self.collection.documents.values())

    @cached_property
    def idf(self) -> IdfDirection:
        """The singular direction of the word embeddings that goes best with IDF."""
        return idf_direction(self.model.W_E, self.token_idf, seed=self.seed)
