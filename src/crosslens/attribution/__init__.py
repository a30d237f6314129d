"""What the parts of a model do for its score, beyond the methods at the top of `crosslens`.

`patching` and `search` measure units one at a time, `trace` and `path_patching` paths,
`edge_attribution` edges, `conductance` and `bottleneck` what flows; here are the values that they
return, and what serves several of them.
"""

from .edges.edge_effects import EdgeEffects as EdgeEffects
from .flow.bottleneck import Noise, Passed as Passed
from .flow.conductance import Flow as Flow, padding_baseline
from .patching.agreement import Concordance as Concordance, concordance
from .patching.effects import Effects as Effects
from .patching.patch_sets import patch_together, SetEffects as SetEffects
from .patching.recovery import recovery, smallest_contrast as smallest_contrast
from .patching.rounding import Rounding as Rounding, rounding
from .paths.chain import Chain as Chain, Step as Step


__all__ = [
    "concordance",
    "Noise",
    "padding_baseline",
    "patch_together",
    "recovery",
    "rounding",
]
