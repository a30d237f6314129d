"""Word attributions: a number for every token and word of a pair, and tests of such numbers.

Each method is a function from a model and pairs to a `WordAttribution`; `method("LIME")` finds it
by name, and `METHODS` holds all of them.
"""

from .attribution.flow.noise_statistics import noise_statistics
from .attribution.words.catalogue import method, METHODS
from .attribution.words.degradation import Degradation as Degradation, degradation
from .attribution.words.gradients import (
    gradient_times_input,
    integrated_gradients,
    IntegratedGradients as IntegratedGradients,
)
from .attribution.words.highlighted import highlighted
from .attribution.words.important import important_tokens, shared_types
from .attribution.words.lime import lime
from .attribution.words.passed_information import passed_information
from .attribution.words.random_order import random_attribution
from .attribution.words.removal import hide_one_out, leave_one_out
from .attribution.words.rollout import attention_rollout
from .attribution.words.truncation import cut_to, Truncation as Truncation, truncation
from .attribution.words.word_attribution import WordAttribution, words_of
from .batching.batches import scores_of


__all__ = [
    "attention_rollout",
    "cut_to",
    "degradation",
    "gradient_times_input",
    "hide_one_out",
    "highlighted",
    "important_tokens",
    "integrated_gradients",
    "leave_one_out",
    "lime",
    "method",
    "METHODS",
    "noise_statistics",
    "passed_information",
    "random_attribution",
    "scores_of",
    "shared_types",
    "truncation",
    "words_of",
    "WordAttribution",
]
