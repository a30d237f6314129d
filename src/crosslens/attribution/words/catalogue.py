"""The catalogue of word attributions, by name.

Each is a function from a model and pairs to a `WordAttribution`; one with other options is
`partial(passed_information, layer=3)`, and serves wherever one of the catalogue does.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ...hooks import Hooked
from ...pairs import Pairs
from ...sites import near
from .gradients import gradient_times_input, integrated_gradients
from .lime import lime
from .passed_information import passed_information
from .random_order import random_attribution
from .removal import hide_one_out, leave_one_out
from .rollout import attention_rollout
from .word_attribution import WordAttribution


Method = Callable[[Hooked, Pairs], WordAttribution]

METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "leave-one-out": leave_one_out,
        "hide-one-out": hide_one_out,
        "integrated gradients": integrated_gradients,
        "gradient x input": gradient_times_input,
        "attention rollout": attention_rollout,
        "LIME": lime,
        "bottleneck": passed_information,
        "random": random_attribution,
    }
)


def method(name: str) -> Method:
    """The word attribution called `name`.

    Raises:
        LookupError: there is none of that name; near matches are named.
    """
    if name not in METHODS:
        raise LookupError(f"no word attribution is called {name!r}; {near(name, METHODS)}")
    return METHODS[name]
