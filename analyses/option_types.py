"""Options that several analyses share: their types, each with its help.

`catalogue` reads this file for `--help`: it uses builtins, typing and Path only.
"""

from pathlib import Path
from typing import Annotated, Literal


# of the studies of neurons
SharesOfNeurons = Annotated[str, "Shares of the neurons in per cent, separated by commas."]
Baseline = Annotated[str, "Where attribution begins; see crosslens.neurons.BASELINES."]
ClassTarget = Annotated[Literal["probability", "score", "logit"], "What flows, for either class."]
Steps = Annotated[int, "Points on the path from the baseline; published: 100."]
Threshold = Annotated[float, "A pair is predicted relevant where its score is above."]
Tokens = Annotated[int, "Documents are cut so that a pair has at most so many."]

# of those of the bottleneck
Layer = Annotated[int, "The layer of the bottleneck; -1: at two thirds of the depth, as published."]
NoiseLike = Annotated[str, "The bottleneck's noise: dataset, example or 'reference code'."]
Beta = Annotated[str, "The price of information: a number, or auto (found pair by pair)."]
Important = Annotated[int, "How many tokens of a pair count as important."]

# of those of IDF
FrequencyFile = Annotated[
    Path | None, "JSON of document frequencies by word piece, may be gzipped (with its size)."
]
FrequencyDocuments = Annotated[int | None, "How many documents --df was counted in."]

# of rankings
Depth = Annotated[int, "How many candidates of each query, at most."]
StopWords = Annotated[int, "How many of the pieces in most documents count as stop words."]
