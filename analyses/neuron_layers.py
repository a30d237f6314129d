"""In which layers and components are the relevance neurons?

The top neurons by mean flow in relevant pairs (P), in others (N), or in both (F), of the first
collection and as all collections share them, are counted by layer and component. Beside each
count stands what a random set of that size has there, and the counts from the two halves of the
pairs.
Vast et al. (2024), Fig. 4: N of MS MARCO at 1 %.
"""

from dataclasses import dataclass
from typing import NamedTuple

from crosslens.frames import Frame, pd
from crosslens.neurons import ClassFlow, Scheme, scheme_sets

from .neuron_flows import enough, facts_of, flows, omissions, shares
from .option_types import Baseline, ClassTarget, SharesOfNeurons, Steps, Threshold, Tokens
from .running import Given, main


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 12
    shares: SharesOfNeurons = "1"
    baseline: Baseline = "padding"
    target: ClassTarget = "probability"
    steps: Steps = 20
    threshold: Threshold = 0.0
    tokens: Tokens = 96


@dataclass(frozen=True)
class Answer:
    """Pairs used; omissions; the neurons by name; counts by layer, by component and by both."""

    pairs: Frame  # collection, class, drawn, agreeing, error
    omitted: Frame  # what, why
    neurons: Frame  # scheme, share, neuron, layer, component, of those chosen
    layers: Frame  # scheme, class, of, share, layer, n, part, expected, times, low, high
    components: Frame  # the same by component
    counts: Frame  # scheme, class, of, share, layer, component, n, expected, times


def analyse(given: Given) -> Answer:
    """The counts of every scheme at every share."""
    found = flows(given)
    neurons = found.flows[0].neurons
    chosen, omitted = enough(shares(given.options.shares), neurons)
    missing, named, counts, layers, components = [], [], [], [], []
    for share in chosen:
        sets = scheme_sets(found.flows, share)
        missing += [
            {"what": f"{name} at {share:.4%}", "why": why} for name, why in sets.omitted.items()
        ]
        for name, scheme in sets.schemes.items():
            if not len(scheme):
                missing.append(
                    {"what": f"{name} at {share:.4%}", "why": "the schemes share no neuron"}
                )
                continue
            facts = facts_of(name, share, found.flows[0])
            named.append(by_name(scheme).assign(**facts))
            counts.append(by_layer_and_component(scheme).assign(**facts))
            halves = halves_of(found.flows[0], name, share)
            layers.append(summed(scheme, halves, "layer").assign(**facts))
            components.append(summed(scheme, halves, "component").assign(**facts))
    return Answer(
        found.pairs,
        omissions(missing, omitted, found.omitted),
        pd.concat(named, ignore_index=True),
        pd.concat(layers, ignore_index=True),
        pd.concat(components, ignore_index=True),
        pd.concat(counts, ignore_index=True),
    )


def by_name(scheme: Scheme) -> Frame:
    """The neurons of a scheme, one row each."""
    kept = scheme.chosen
    return pd.DataFrame(
        {
            "neuron": [str(unit) for unit in scheme.units],
            "layer": scheme.neurons.layers[kept],
            "component": scheme.neurons.components[kept],
        }
    )


def by_layer_and_component(scheme: Scheme) -> Frame:
    """How many neurons are where; how many a random set of the size has there; their ratio."""
    every = scheme.neurons.table().rename(columns={"n": "of"})
    here = scheme.neurons.table(scheme.chosen)
    table = every.merge(here, how="left", on=["layer", "component"]).fillna({"n": 0})
    expected = len(scheme) * table["of"] / table["of"].sum()
    return table.assign(
        n=table["n"].astype(int), expected=expected, times=table["n"] / expected
    ).drop(columns="of")


def halves_of(first: ClassFlow, name: str, share: float) -> list[Scheme]:
    """The scheme of each half of the pairs, of a scheme of the first collection alone."""
    kind = name[0]
    if name != f"{kind} {first.name}" or not first.has_halves(kind):
        return []
    return [first.top(kind, share, half) for half in (0, 1)]


def summed(scheme: Scheme, halves: list[Scheme], by: str) -> Frame:
    """Counts by layer or component, as a part of the scheme too, and those of both halves."""
    table = by_layer_and_component(scheme).groupby(by, as_index=False)[["n", "expected"]]
    found = table.sum()
    found = found.assign(part=found["n"] / len(scheme), times=found["n"] / found["expected"])
    if halves:
        again = [by_layer_and_component(half).groupby(by)["n"].sum() for half in halves]
        both = pd.concat(again, axis=1).reindex(found[by])
        found = found.assign(low=both.min(axis=1).to_numpy(), high=both.max(axis=1).to_numpy())
    return found


if __name__ == "__main__":
    main(__spec__.name)
