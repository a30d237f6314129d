"""Is the score a linear function of soft term frequency and IDF, as BM25 is of the exact ones?"""

from .bm25_grid import BestColumn as BestColumn, bm25_grid
from .comparison import compare_formulas, fit_formula, formulas_of
from .features import by_place, Features as Features, shared
from .fit import by_pair, by_query, Fit as Fit, fit_score, linear, ridge
from .observe import observe, observe_candidates, Observed as Observed
from .quality import Quality as Quality, quality
from .queries import first_tokens
from .rankings import ranking_agreement


__all__ = [
    "bm25_grid",
    "by_pair",
    "by_place",
    "by_query",
    "compare_formulas",
    "first_tokens",
    "fit_formula",
    "fit_score",
    "formulas_of",
    "linear",
    "observe",
    "observe_candidates",
    "quality",
    "ranking_agreement",
    "ridge",
    "shared",
]
