"""After which layer is a ranking decided?

The candidates of each query are ranked as if the model ended after each layer: by its own head on
the scored row, and by a linear probe of that row which was fitted to other queries. Beside how
well each ranks stands how alike its order is to the model's (Kendall's tau), and whether its first
document is the model's first from there on. Controls: the head reads the row of another candidate
of the query; the probe is fitted to labels that are drawn at random.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from scipy.stats import kendalltau

from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.probing import control_labels, early_scores, features, held_out
from crosslens.stats import bootstrap_interval

from .option_types import Depth
from .ranking_quality import judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of


class Options(NamedTuple):
    pairs: int = 480
    depth: Depth = 10
    folds: Annotated[int, "In how many parts the queries are split for the probe."] = 3


@dataclass(frozen=True)
class Answer:
    """How each reading of each layer ranks, and how alike its order is to the model's."""

    candidates: Frame  # qid, docid, is_relevant, model, and a column for each reading of each layer
    quality: Frame  # reading, layer, depth, measure, mean, low, high, difference (from the whole
    # model), diff_low, diff_high, n
    order: Frame  # reading, layer, depth, tau, low, high; first (share of queries), from_here_on; n


HEAD, PROBE = "head", "probe"
CONTROLS: Final = {HEAD: "head, another candidate's row", PROBE: "probe, labels by lot"}
MODEL: Final = "model"


def analyse(given: Given) -> Answer:
    """The scores of all readings, then how they rank."""
    texts, rows = judged_sample(given, given.options.depth)
    scores = given.keep("candidates", "all", lambda: readings(given, rows))
    columns = {name: name.rpartition(" ")[::2] for name in scores.columns[4:]}
    n_layers = given.model.cfg.n_layers
    where = pd.DataFrame(
        [(name, reading, int(layer)) for name, (reading, layer) in columns.items()],
        columns=["condition", "reading", "layer"],
    )
    where["depth"] = where["layer"] / n_layers
    quality = ranking_quality(texts, scores, relevant_from(given.texts.qrels), given.seed)
    quality = where.merge(quality, on="condition").drop(columns="condition")
    return Answer(scores, quality, where.merge(orders(scores)).drop(columns="condition"))


def readings(given: Given, rows: Frame) -> Frame:
    """Each candidate's score by the whole model, and by every reading of every layer."""
    options, seed, pairs = given.options, given.seed, pairs_of(given, rows)
    given.watch("reading layers", 0, 3)
    early = early_scores(given.model, pairs).double().numpy(force=True)
    found: dict[str, Any] = {MODEL: early[-1]}
    qids, labels = rows["qid"].to_numpy().astype(str), rows["is_relevant"].to_numpy()
    other = another_of_query(qids, np.random.default_rng(seed))
    for layer, scores in enumerate(early):
        found[f"{HEAD} {layer}"] = scores
        found[f"{CONTROLS[HEAD]} {layer}"] = scores[other]
    given.watch("reading layers", 1, 3)
    (states,) = features(given.model, pairs, {"scored": pairs.is_scored}).values()
    given.watch("reading layers", 2, 3)
    random_labels = control_labels(labels, rows["docid"].to_numpy().astype(str), seed=seed)
    for layer in range(len(early)):
        for name, wanted in ((PROBE, labels), (CONTROLS[PROBE], random_labels)):
            probe = held_out(
                states.means(layer).numpy(), wanted, qids, folds=options.folds, seed=seed
            )
            found[f"{name} {layer}"] = probe.predicted
    given.watch("reading layers", 3, 3)
    return rows.assign(**found)


def another_of_query(qids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """For each candidate the place of another one of its query, none of them twice."""
    other = np.arange(len(qids))
    for qid in pd.unique(qids):
        places = generator.permutation(np.flatnonzero(qids == qid))
        other[places] = np.roll(places, 1)
    return other


def orders(scores: Frame) -> Frame:
    """How alike the order of each column is to the model's.

    `tau` with a 95 % interval over queries; `first`: the share of queries whose first document is
    the model's; `from_here_on`: the same, after this layer and every later one of the reading.
    """
    names = list(scores.columns[4:])
    taus: dict[str, list[float]] = {name: [] for name in names}
    firsts: dict[str, list[bool]] = {name: [] for name in names}
    for _, some in scores.groupby("qid", sort=False):
        best = some[MODEL].to_numpy().argmax()
        for name in names:
            own = some[name].to_numpy()
            tau: Any = kendalltau(own, some[MODEL].to_numpy())[0]
            taus[name].append(float(np.nan_to_num(tau)))  # all alike: no order
            firsts[name].append(own.argmax() == best)
    table = []
    for name in names:
        reading, _, layer = name.rpartition(" ")
        later = [firsts[each] for each in names if _is_from(each, reading, int(layer))]
        low, high = bootstrap_interval(np.array(taus[name]))
        table.append(
            {
                "condition": name,
                "tau": np.mean(taus[name]),
                "low": float(low),
                "high": float(high),
                "first": np.mean(firsts[name]),
                "from_here_on": np.all(later, axis=0).mean(),
                "n": len(taus[name]),
            }
        )
    return pd.DataFrame(table)


def _is_from(name: str, reading: str, layer: int) -> bool:
    own, _, at = name.rpartition(" ")
    return own == reading and int(at) >= layer


if __name__ == "__main__":
    main(__spec__.name)
