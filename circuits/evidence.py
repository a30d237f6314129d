"""Evidence: what the tests of the claims share, each part measured once, when first asked for.

A claim's detector takes an `Evidence` and looks at what it needs; two claims that look at the
same contrast look at the same pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from crosslens import (
    Axioms,
    Circuit,
    Collection,
    Contrast,
    CrossEncoder,
    Pairs,
    trace,
    Unit,
)
from crosslens.attribution import Chain, patch_together
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

from .claim import Figure, mean_of


Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


SCORED: Final = 40  # pairs that show whether the model reacts at all
FEWEST: Final = 5  # queries; with fewer a model is not said to react
LEAST: Final = 1e-3  # a change of score below this is none
DOCUMENTS: Final = 8  # of a query whose ranking is explained
CARRIED: Final = 0.05  # of a contrast: a smaller share is none
DRAWS: Final = 10  # sets of other heads beside the members
WORTH: Final = 0.2  # of the root mean square of a contrast


@dataclass(frozen=True, eq=False)
class Evidence:
    """A model, and the texts on which it is tested.

    `axioms` builds contrasts of pairs short enough to sweep; `roomy` those whose edits take more
    room (five places for a term, four sentences), by default the same. `n` is how many pairs a
    contrast has at most; tests of rankings take twice as many queries. `soft`: the circuit is
    traced on soft matches as well; `traced`: on so many pairs only, and in three stages.
    """

    model: CrossEncoder
    axioms: Axioms
    n: int = 24
    roomy: Axioms | None = None
    soft: bool = True
    traced: int | None = None
    watch: Watch = lambda step, done, total: None

    @property
    def checkpoint(self) -> str:
        return self.model.cfg.checkpoint

    @property
    def collection(self) -> Collection:
        return self.axioms.collection

    @property
    def seed(self) -> int:
        return self.axioms.seed

    def read(self, queries: list[str], documents: list[str]) -> Pairs:
        """Pairs as the contrasts have them: of the same length at most."""
        return self.axioms.model.pairs(queries, documents)

    # --- contrasts ---------------------------------------------------------------------

    @cached_property
    def tfc1(self) -> Contrast:
        """One more exact match, in pairs whose score it changes."""
        return self._worth(self.exact)

    @cached_property
    def stmc1(self) -> Contrast:
        """One soft match, in pairs whose score it changes."""
        return self._worth(self.soft_matches)

    @cached_property
    def soft_matches(self) -> Contrast:
        """One soft match, whether it changes the score or not."""
        return self.axioms.stmc1(self.scored)

    @property
    def scored(self) -> int:
        """How many pairs are scored, to see whether the model reacts, and to choose from."""
        return max(self.n, SCORED)

    @cached_property
    def exact(self) -> Contrast:
        """One more exact match, whether it changes the score or not."""
        return self.axioms.tfc1(self.scored)

    @cached_property
    def control(self) -> Contrast:
        """A word that is in neither query nor document, instead."""
        return self.axioms.control(self.scored)

    def _worth(self, contrast: Contrast) -> Contrast:
        """The first `n` pairs with a change of score to explain: a fifth of the usual or more.

        A share of next to nothing is any number.
        """
        change = np.abs(score(self.model, contrast.more) - score(self.model, contrast.base))
        usual = float(np.sqrt(np.mean(change**2)))
        kept = np.flatnonzero(change >= max(WORTH * usual, LEAST))[: self.n]
        if not len(kept):
            raise ValueError(f"no pair of {contrast.signal} changes its score by {LEAST} or more")
        return contrast.take(kept.tolist())

    @cached_property
    def saturation(self) -> tuple[Contrast, ...]:
        """One to five occurrences of a term."""
        return (self.roomy or self.axioms).saturation(self.n)

    @cached_property
    def lengthened(self) -> tuple[Pairs, ...]:
        """No to four irrelevant sentences, without filler."""
        return (self.roomy or self.axioms).lengthened(self.n)

    # --- the circuit -----------------------------------------------------------------------

    @cached_property
    def chain(self) -> Chain:
        """Which heads write the score, which tell those, and so on, by path patching."""
        self.watch("Tracing the circuit", 0, 1)
        contrasts = [self.tfc1, *self._soft()]
        if self.traced is None:
            found = trace(self.model, contrasts)
        else:  # no further than the paper's three stages
            found = trace(self.model, [each.take(slice(self.traced)) for each in contrasts], most=3)
        self.watch("Tracing the circuit", 1, 1)
        return found

    def _soft(self) -> list[Contrast]:
        """The contrast of soft matches, if wanted, and if these texts and this model have one."""
        try:
            return [self.stmc1] if self.soft else []
        except ValueError:
            return []

    @cached_property
    def circuit(self) -> Circuit:
        """The chain as a claim about this checkpoint."""
        return self.chain.circuit("semantic BM25", self.checkpoint)

    def members(self, role: str) -> list[Unit]:
        """The heads of the circuit with this role, layer by layer; there may be none."""
        return sorted(self.circuit.roles.get(role, ()))

    def found(self, role: str) -> list[Figure]:
        """Does the model react to a match, and are there heads with this role on the way?"""
        if not self.reaction.holds:
            return [self.reaction]
        number = len(self.members(role))
        return [
            self.reaction,
            Figure(
                f"{role} heads in the chain",
                float(number),
                n=len(self.model.heads()),
                expected="at least 1",
                holds=number > 0,
            ),
        ]

    def carried(self, role: str) -> Figure:
        """What the heads of a role restore of an added match, patched together.

        The test that no head passes by looking right: one that reads and writes nothing
        restores nothing.
        """
        members = self.members(role)
        together = patch_together(self.model, self.tfc1, members, draws=DRAWS, seed=self.seed)
        return mean_of(
            f"share of an added match that {len(members)} heads restore, patched together",
            together.recovered,
            control=mean_over_heads(together.by_chance),  # here over sets
            expected=f"above {CARRIED} and above as many other heads",
            holds=lambda low, high, control: low > max(CARRIED, control),
            seed=self.seed,
        )

    def beside(
        self,
        name: str,
        values: Float[np.ndarray, "head pair"],
        members: list[Unit],
        *,
        expected: str = "",
        holds: Callable[[float, float, float], bool] | None = None,
    ) -> Figure:
        """The mean of members over pairs, beside that of all other heads."""
        is_member = np.array([unit in members for unit in self.model.heads()])
        return mean_of(
            name,
            mean_over_heads(values[is_member]),
            control=mean_over_heads(values[~is_member]),
            expected=expected,
            holds=holds,
            seed=self.seed,
        )

    # --- rankings --------------------------------------------------------------------------

    @cached_property
    def observed(self) -> Observed:
        """Query-document pairs as every head reads them, with their scores."""
        some = self.collection.sample(2 * self.n, DOCUMENTS, self.seed)

        def progress(done: int, total: int) -> None:
            self.watch("Observing candidates", done, total)

        return observe_candidates(self.model, some, self.model.heads(), progress=progress)

    @cached_property
    def formulas(self) -> pd.DataFrame:
        """How well a BM25-like formula of the matching heads tells the score, beside controls.

        Raises:
            ValueError: the circuit has no matching head.
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
            raise ValueError("no matching head was found, whose soft term frequency could count")
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

    # --- whether there is anything to explain ----------------------------------------------

    @cached_property
    def reaction(self) -> Figure:
        """How far the score rises with an exact match, beyond what a random word does to it.

        In standard deviations of the scores of the pairs; over queries, each beside its own
        control. Without a reaction there is no mechanism to find.
        """
        spread = float(np.std(score(self.model, self.exact.base))) or 1.0
        own, other = (by_query(each, self.model, spread) for each in (self.exact, self.control))
        shared = sorted(own.keys() & other.keys())
        beyond = np.array([own[qid] - other[qid] for qid in shared])
        aside = np.array([other[qid] for qid in shared])
        return mean_of(
            "rise of the score with an exact match beyond a random word, in deviations",
            beyond if len(beyond) else np.array([np.nan]),
            control=aside,
            expected="above 0.05",
            holds=lambda low, high, control: low > 0.05 and len(shared) >= FEWEST,
            seed=self.seed,
        )


def mean_over_heads(values: Float[np.ndarray, "head pair"]) -> Float[np.ndarray, " pair"]:
    """The mean over the heads that have a value; nan for a pair in which none has."""
    there = ~np.isnan(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)


def by_query(contrast: Contrast, model: CrossEncoder, unit: float) -> dict[str, float]:
    """The mean change of score of each query's pairs, in units of `unit`."""
    change = (score(model, contrast.more) - score(model, contrast.base)) / unit
    qids = np.array([each.qid for each in contrast.minimal])
    return {str(qid): float(change[qids == qid].mean()) for qid in np.unique(qids)}


@torch.no_grad()
def score(model: CrossEncoder, pairs: Pairs, *, batch: int = 32) -> Float[np.ndarray, " pair"]:
    """The scores of `pairs`, those of like length together, in the pairs' own order."""
    found = np.empty(len(pairs))
    for rows in pairs.lengths.argsort().split(batch):
        found[rows.cpu().numpy()] = model(pairs.take(rows.tolist())).double().cpu().numpy()
    return found
