"""Every threshold of a verdict, each with its reason.

Shares are of a contrast (its change of score), deviations are of the scores of the texts without
the signal. A threshold keeps out what is real and too small to matter; against chance each figure
has its control and its interval.
"""

from typing import Final


# --- whether a model reacts to a signal at all

LEVEL: Final = 0.05  # two-sided error, the field's convention
SIGNALS: Final = 5  # TFC1, STMC1, TFC2, LNC2, TDC: the tests among which an error may fall
REACTION_LEVEL: Final = LEVEL / SIGNALS  # fixed, so that a verdict does not depend on what else ran
QUERIES: Final = 5  # fewer observations give a t-test next to no power, and one query decides
SCORED: Final = 40  # pairs scored per contrast: scoring costs a hundredth of patching
SPREAD: Final = 0.05  # deviations: a smaller mean change moves hardly any document past another
ROUNDING: Final = 1e-3  # of a score: float32 arithmetic in another order changes as much

# --- whether a unit may be named

ROLE: Final = 0.10  # of a contrast, at one token role: about nine roles share the whole
HEAD: Final = 0.05  # of a contrast, by one head: there are a dozen in each layer
PAIRS: Final = 5  # with the role, as with `QUERIES`
NAMED: Final = 4  # units in one sentence: more are a table

# --- whether heads carry a match

CARRIED: Final = (
    0.05  # of a contrast, patched together: what one head alone must restore to be named
)
IDF_CORRELATION: Final = 0.1  # of attention and IDF: below this, a hundredth of the variance
FROM_QUERY: Final = 0.5  # of what heads write at the scored row: more than from all other tokens

# --- whether a circuit is the mechanism

RESTORED: Final = 0.5  # of a contrast, by the circuit alone: more than all that is left out
FORMULA: Final = 0.5  # correlation with the score; BM25 itself reaches 0.42 in Lu et al. (2025)
BELOW_BM25: Final = 0.02  # correlation: what refitting k1 and b on other queries moves BM25 by

# --- whether embeddings store IDF

STORED: Final = 0.3  # correlation: a tenth of the variance, a medium effect (Cohen, 1988)
RISE: Final = 0.05  # deviations, as `SPREAD`

# --- whether few neurons carry relevance

LOST: Final = 0.05  # of the score gap, beyond random neurons: five times their share of neurons

# --- whether a few terms decide

FEW: Final = 0.1  # of the words of a document: what "a few" means here
WORDS: Final = 10  # in a document of fewer a tenth is no word
