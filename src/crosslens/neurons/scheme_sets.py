"""The schemes of Vast et al. (2024), section 4: of one collection, intersected, fused.

P x, N x        top of the mean flow in the relevant, in the other pairs of the collection x
F x             both means averaged, then the top
... all OOD     what the schemes of all other collections than the first share
... all         what the schemes of all collections share
F (+) all       all mean flows of all collections averaged, then the top
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..not_measurable import NotMeasurable
from .class_flow import ClassFlow, FUSED, OTHER, RELEVANT
from .schemes import intersection, Scheme


KINDS: Final = (RELEVANT, OTHER, FUSED)
FUSED_ALL: Final = "F (+) all"


class SchemeSets(NamedTuple):
    """Schemes by name, and why there is none of some other names."""

    schemes: dict[str, Scheme]
    omitted: dict[str, str]


def scheme_sets(flows: Sequence[ClassFlow], share: float) -> SchemeSets:
    """Every scheme of these collections at a share; the first is the one of the attribution.

    A collection without pairs of a class has no part in the intersections of that class; with
    fewer than two that have, there is no intersection.

    Raises:
        ValueError: the share is less than one neuron.
        NotMeasurable: no collection has a pair of either class.
    """
    if not any(each.has(kind) for each in flows for kind in KINDS[:2]):
        raise NotMeasurable("no collection has a flow of either class")
    first, found, omitted = flows[0], {}, {}
    for kind in KINDS:
        if first.has(kind):
            found[f"{kind} {first.name}"] = first.top(kind, share)
        else:
            omitted[f"{kind} {first.name}"] = first.why_not(kind)
    for kind in KINDS:
        for group, some in (("all OOD", flows[1:]), ("all", flows)):
            name, able = f"{kind} {group}", [each for each in some if each.has(kind)]
            if len(able) < 2:
                omitted[name] = f"{len(able)} collections have the class, two are needed"
                continue
            found[name] = intersection(name, [each.top(kind, share) for each in able])
    means = [each.mean(kind) for each in flows for kind in KINDS[:2] if each.has(kind)]
    found[FUSED_ALL] = Scheme.fused(FUSED_ALL, first.neurons, means, share)
    return SchemeSets(found, omitted)
