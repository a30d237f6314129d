"""The flows that the studies of neurons share: computed once for a model, texts and options.

Queries of a collection are split by lot: attribution takes the pairs of one part, and rankings
without neurons those of the other, so that no neuron is judged by the pairs that chose it. One
collection alone whose queries have fields is studied field by field, as if each were a collection.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from crosslens import Collection, CrossEncoder, NotMeasurable, Pairs
from crosslens.contrasts import Shortened
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.neurons import agreeing, baseline, ClassFlow, neuron_flow, Neurons, target
from crosslens.words import scores_of

from .running import Given


PARTS = 3  # of half of the pairs of a class; an interruption loses the work of one at most
LEAST = 4  # pairs of a part, so that they fill a batch
INEXACT = 0.1  # a larger completeness error is named among the omissions
CLASS = {True: "P", False: "N"}


class Flows(NamedTuple):
    """The flows of each collection, the pairs they are of, and what there is none of."""

    flows: tuple[ClassFlow, ...]
    pairs: Frame  # collection, class, drawn, agreeing, error
    omitted: Frame  # what, why


def flows(given: Given, but: Sequence[str] = ()) -> Flows:
    """The mean flows of relevant and other pairs, of every collection studied.

    Options: baseline, target, steps, threshold, tokens. `error` is the median completeness error
    of a pair: how far the flow through a whole block is from the change of the target, over it.

    Args:
        but: the names of collections that are left out.

    Raises:
        NotMeasurable: no collection has a pair whose prediction agrees with its judgement.
        LookupError: an unknown baseline or target.
    """
    options = given.options
    begin, label = baseline(options.baseline), given.model.relevance.relevant
    targets = {
        kind: target(options.target, is_relevant=kind, relevant_label=label) for kind in CLASS
    }
    collections = studied([each for each in given.collections if each.name not in but])
    drawn = [agreeing_pairs(given, texts) for texts in collections]
    computes: dict[str, Callable[[], Frame]] = {}
    keys = []  # of each collection
    for texts, agreed in zip(collections, drawn, strict=True):

        def flowing(kind: bool, half: int, rows: Frame, texts: Collection = texts) -> Frame:
            pairs = pairs_of(given.model, texts, rows, options.tokens)
            start = begin(given.model, pairs)
            flow = neuron_flow(given.model, pairs, start, target=targets[kind], steps=options.steps)
            total = flow.values.astype(np.float64).sum(axis=0)
            return pd.DataFrame(
                {
                    "class": [CLASS[kind]],
                    "half": [half],
                    "n": [len(rows)],
                    "error": [float(np.median(flow.error))],
                    "flow": [total],
                }
            )

        own = {
            f"{_digest(given, texts)}-{CLASS[kind]}-{half}-{rows.index[0]}": partial(
                flowing, kind, half, rows
            )
            for kind in (True, False)
            for half in (0, 1)
            for rows in agreed.parts(kind, half)
        }
        keys.append([*own])
        computes |= own
    # those of all collections at once, so that processes need not wait between them
    by_key = given.parts("flow through neurons", "flows", computes, for_all=True)
    neurons = Neurons.of(given.model, first_pair(given.model, collections[0], options.tokens))
    found, counts = [], []
    for texts, agreed, own in zip(collections, drawn, keys, strict=True):
        parts = [by_key[key] for key in own]
        found.append(ClassFlow.of(texts.name, neurons, parts))
        counts.append(agreed.counts.assign(error=errors(parts)))
    missing = [
        {"what": f"{kind} {flow.name}", "why": flow.why_not(kind)}
        for flow in found
        for kind in CLASS.values()
        if not flow.has(kind)
    ]
    if len(missing) == 2 * len(found):
        raise NotMeasurable(
            f"no flow to rank neurons by, at a threshold of {options.threshold:g}: "
            + "; ".join(f"{each['what']}: {each['why']}" for each in missing)
        )
    counted = pd.concat(counts, ignore_index=True)
    for row in counted[counted["error"] > INEXACT].to_dict("records"):
        why = f"flow misses the change of the target by {row['error']:.0%}: more --steps, or score"
        missing.append({"what": f"exactness of {row['class']} {row['collection']}", "why": why})
    return Flows(tuple(found), counted, omissions(missing))


def errors(parts: Sequence[Frame]) -> list[float | None]:
    """The median completeness error of P and N; none where the target is flat, or no pair."""
    found = []
    for kind in CLASS.values():
        of = [part["error"][0] for part in parts if part["class"][0] == kind]
        known = [each for each in of if np.isfinite(each)]
        found.append(float(np.median(known)) if known else None)
    return found


class Agreeing(NamedTuple):
    """Judged pairs whose prediction agrees with the judgement, and how many there were."""

    rows: Frame  # qid, docid, is_relevant
    counts: Frame

    def parts(self, is_relevant: bool, half: int) -> list[Frame]:
        """The pairs of a class in a half of them, in parts."""
        rows = self.rows[self.rows["is_relevant"] == is_relevant].iloc[half::2]
        size = max(LEAST, -(-len(rows) // PARTS))
        return [rows.iloc[start : start + size] for start in range(0, len(rows), size)]


def agreeing_pairs(given: Given, texts: Collection) -> Agreeing:
    """At most `given.pairs` judged pairs, half of them relevant, whose prediction agrees."""
    options = given.options
    drawn = judged_pairs(texts, given.pairs, given.seed)
    kept: Frame = drawn

    if len(drawn):

        def compute() -> Frame:
            pairs = pairs_of(given.model, texts, drawn, options.tokens)
            return drawn.assign(score=scores_of(given.model, pairs).double().numpy(force=True))

        kept = given.keep_for_all("scores", _digest(given, texts), compute)
        good, bad = agreeing(
            kept["score"].to_numpy(), kept["is_relevant"].tolist(), threshold=options.threshold
        )
        kept = kept[good | bad]
    counts = [
        {
            "collection": texts.name,
            "class": CLASS[kind],
            "drawn": int((drawn["is_relevant"] == kind).sum()),
            "agreeing": int((kept["is_relevant"] == kind).sum()),
        }
        for kind in (True, False)
    ]
    return Agreeing(kept.reset_index(drop=True), pd.DataFrame(counts))


def judged_pairs(texts: Collection, n: int, seed: int) -> Frame:
    """Judged pairs of the queries of the attribution: up to `n / 2` relevant ones and others."""
    least = relevant_from(texts.qrels)
    chosen = []
    for is_relevant in (True, False):
        judged = sorted(
            (qrel.query_id, qrel.doc_id)
            for qrel in texts.qrels
            if (qrel.relevance >= least) == is_relevant and for_attribution(qrel.query_id, seed)
        )
        random.Random(f"{seed} {is_relevant}").shuffle(judged)
        chosen += [(*each, is_relevant) for each in judged[: max(1, n // 2)]]
    rows = pd.DataFrame(chosen, columns=["qid", "docid", "is_relevant"])
    return rows.astype({"is_relevant": bool})


def for_attribution(qid: str, seed: int) -> bool:
    """Whether the query's pairs choose neurons; else its ranking is made without them."""
    return random.Random(f"{seed} attribution {qid}").random() < 0.5


def studied(collections: Sequence[Collection]) -> list[Collection]:
    """The collections; of one with fields, its fields.

    Raises:
        ValueError: two collections have the same name, or there is none.
    """
    if not collections:
        raise ValueError("no collection is left to find neurons in")
    names = [each.name for each in collections]
    if len(set(names)) < len(names):
        raise ValueError(f"two collections have the same name: {', '.join(names)}")
    if len(collections) > 1 or len(set(collections[0].fields.values())) < 2:
        return list(collections)
    (whole,) = collections
    return [part_of(whole, field) for field in dict.fromkeys(whole.fields.values())]


def part_of(whole: Collection, field: str) -> Collection:
    """The queries of one field, with their judgements and candidates."""
    qids = {qid for qid in whole.queries if whole.fields.get(qid) == field}
    return replace(
        whole,
        name=field,
        queries={qid: text for qid, text in whole.queries.items() if qid in qids},
        qrels=tuple(each for each in whole.qrels if each.query_id in qids),
        candidates={qid: docs for qid, docs in whole.candidates.items() if qid in qids},
        fields={qid: field for qid in qids},
        without_text=tuple(each for each in whole.without_text if each.query_id in qids),
    )


def pairs_of(model: CrossEncoder, texts: Collection, rows: Frame, tokens: int) -> Pairs:
    """The pairs of some rows, documents cut so that none has more tokens."""
    return Shortened(model, tokens).pairs(
        [texts.queries[qid] for qid in rows["qid"]],
        [texts.documents[docid] for docid in rows["docid"]],
    )


def first_pair(model: CrossEncoder, texts: Collection, tokens: int) -> Pairs:
    """A pair from which the model's sizes are read."""
    query, document = next(iter(texts.queries.values())), next(iter(texts.documents.values()))
    return Shortened(model, tokens).pairs([query], [document])


def facts_of(scheme: str, share: float, first: ClassFlow) -> dict[str, Any]:
    """What tables say of a scheme: its name, class and share, and which collections it is `of`.

    "first", "all OOD", "all", or the fused "(+) all".
    """
    kind, _, name = scheme.partition(" ")
    of = "first" if name == first.name else name
    return {"scheme": scheme, "class": kind, "of": of, "share": share}


def omissions(missing: Sequence[Mapping[str, str]], *before: Frame) -> Frame:
    """What could not be had, and why, below what was left out before."""
    return pd.concat([*before, pd.DataFrame(missing, columns=["what", "why"])], ignore_index=True)


def shares(written: str) -> list[float]:
    """Shares of the neurons from per cents as they are written: "0.01, 0.1, 1".

    Raises:
        ValueError: one that is no number, or outside 0 to 100.
    """
    found = []
    for each in written.split(","):
        try:
            value = float(each)
        except ValueError:
            raise ValueError(f"{each.strip()!r} is no share in per cent, as in '0.1, 1'") from None
        if not 0 < value <= 100:
            raise ValueError(f"a share of {value:g} % of the neurons; it is above 0, at most 100")
        found.append(value / 100)
    return found


def enough(of: Sequence[float], neurons: Neurons) -> tuple[list[float], Frame]:
    """The shares that are one neuron at least, and a table of those that are left out.

    Raises:
        NotMeasurable: none is.
    """
    good = [share for share in of if round(share * len(neurons)) >= 1]
    if not good:
        raise NotMeasurable(
            f"the shares {', '.join(f'{share:.4%}' for share in of)} of {len(neurons)} neurons are "
            f"less than one neuron; one is {1 / len(neurons):.4%}"
        )
    bad = [
        {"what": f"{share:.4%}", "why": f"less than one of {len(neurons)} neurons"}
        for share in of
        if share not in good
    ]
    return good, omissions(bad)


def _digest(given: Given, texts: Collection) -> str:
    options: Any = given.options
    on = (options.baseline, options.target, options.steps, options.tokens)
    everything = repr((on, given.pairs, given.seed, texts.digest, options.threshold))
    return sha256(everything.encode()).hexdigest()[:12]
