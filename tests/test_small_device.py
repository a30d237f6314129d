"""Whatever runs a model runs where memory holds one pair at a time, and finds the same.

Every measurement of `test_second_device.py`, every way to find a circuit, every claim and every
analysis runs twice: with memory, and where each pass of more than one row fails after it has run
(`small_device.py`). Weights are float64, so that a number that differs is another number and not
its rounding.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from inspect import ismodule
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import torch
from crosslens.analyses import semantic_similarity
from crosslens.analyses.catalogue import catalogue
from crosslens.analyses.running import answer_into, Given
from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.evidence import Evidence
from short_texts import short_sentences
from simulated_device import DEVICE, simulated_device
from small_device import small_device
from test_second_device import BASE, Case, case, DOCUMENTS, MEASURES, QUERY, require_alike
from tiny import tiny

import crosslens
from crosslens import (
    Axioms,
    Collection,
    collection,
    Contrast,
    CrossEncoder,
    discover,
    Findings,
    head,
    load,
    noise,
    NotMeasurable,
    plant,
    rerank,
    resample,
    Site,
)
from crosslens.batching import DoesNotFit, recorded, scores_of
from crosslens.discovery.methods import METHODS
from crosslens.faithfulness import Graph


NAME: Final = "bm25?layers=3&heads=3&decoys=1"
FIRST: Final = 5  # words of a sentence: half of the tokens of whole ones, and no two documents tie
# Hooks within the pass, which may hold a value for each pair, have all pairs run together.
TOGETHER: Final = {"knock-outs"}
NOT_HERE: Final = {
    *("scores", "sites", "means, donors, noise and paths", "edits of embeddings"),  # one pass each
    "batches",  # of one pair
    "masks",  # one pass of all pairs for each cell
    *("words, random", "maps of heads"),  # no pass
}


@pytest.fixture(autouse=True)
def as_users_run_it(unchecked: None) -> None:
    """Annotations, which other tests check, take half of the time."""


@cache
def small_case(device: torch.device | None = None) -> Case:
    """Pairs of which several are of one length, and a contrast."""
    model = case("bert", device).model
    documents = [*DOCUMENTS, *(DOCUMENTS[0].replace("rest", each) for each in ("bark", "is", "in"))]
    base = [*BASE, BASE[0].replace("rest", "bark"), BASE[1].replace("town", "car")]
    sides = [model.pairs([QUERY] * 4, [text.replace("car", word) for text in base])
             for word in ("car", "python")]  # fmt: skip
    return Case(model, model.pair(QUERY, *documents), Contrast.between(*sides, "word"))


def require_same_numbers(run: Callable[[], Any], rows: int = 1) -> None:
    """What `run` finds is the same where memory holds so many rows.

    Raises:
        AssertionError: says where it differs, or that no pass was larger.
    """
    expected = run()
    with small_device(rows) as sizes:
        found = run()
    assert max(sizes) > rows, "memory was never short"
    require_alike(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in NOT_HERE])
def test_a_measurement_is_the_same_with_little_memory(name: str):
    here = small_case()
    rows = len(here.contrast) if name in TOGETHER else 1
    require_same_numbers(lambda: MEASURES[name](here), rows)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_a_circuit_is_found_with_little_memory(name: str):
    model, _, contrast = small_case()
    is_of_edges = not METHODS[name].ranks(model.heads()[0])
    parts = Graph.of(model).edges[:4] if is_of_edges else model.heads()[:3]
    require_same_numbers(lambda: discover(model, contrast, parts, name).numbers)


# --- no method without its measurement -----------------------------------------------------------

MODELS: Final = re.compile("Hooked|CrossEncoder|Scorer|Replayed|Reranker|Trunk|Trainable")
ELSEWHERE: Final = {
    "pyterrier_transformer": "scores as `rerank` does",
    "text_ranking": "scores as `rerank` does",
    "direct_path": "hooks that hold a value for each pair, of which `path` is made",
    "forward_passes": "counts operations",
    "soft_tf_of_term": "a side of `soft_tf_gain`",
    "widget": "asks for one pair at a time",
}


def methods() -> Iterator[str]:
    """The public functions that are given a model, and pairs or what makes them."""
    spaces = [getattr(crosslens, name) for name in crosslens.__all__]
    for home in (crosslens, *filter(ismodule, spaces)):
        for name in home.__all__:
            value = inspect.unwrap(getattr(home, name))
            if inspect.isfunction(value):
                given = inspect.signature(value).parameters
                if MODELS.search(" ".join(str(each.annotation) for each in given.values())):
                    yield name


def test_every_method_is_measured_here():
    """A new one is one more entry of `MEASURES`."""
    run_here = re.findall(r"\w+", Path(__file__).with_name("test_second_device.py").read_text())
    by_name = {each.__name__ for each in crosslens.words.METHODS.values()}
    lacking = {*methods()} - {*run_here} - by_name - ELSEWHERE.keys()
    assert not lacking, f"{sorted(lacking)} stand in no measurement of test_second_device.py"


# --- analyses and claims -------------------------------------------------------------------------


@cache
def planted() -> CrossEncoder:
    return load(plant(NAME)).double()


@cache
def texts(queries: int, documents: int, first: int = FIRST) -> Collection:
    """Documents that the planted BM25 scores above the median of their query are relevant."""
    few = short_sentences(collection("embedded").sample(queries, documents), first)
    bm25 = plant(NAME)
    qrels = []
    for each in few.qrels:
        docids = few.candidates.get(each.query_id, ())
        if each.doc_id in docids:
            own = {i: bm25.bm25(few.queries[each.query_id], few.documents[i]) for i in docids}
            is_good = own[each.doc_id] > np.median([*own.values()])
            qrels.append(each._replace(relevance=int(is_good)))
    return replace(few, qrels=tuple(qrels))


# Words of a sentence where shortened ones will not do: too few pairs hold some kind of token, or a
# random set of neurons leaves no score but rounding, whose order is of no pair.
WHOLE: Final = 99
METHODS_ASKED: Final = ["patching", "EAP-IG"]
NEURONS: Final = {"pairs": 6, "queries": 8, "documents": 4, "threshold": 5.5, "target": "score"}
# How much each analysis is asked; elsewhere three pairs of four queries with three documents.
ASKED: Final[Mapping[str, Mapping[str, Any]]] = {
    "attention_majority": {"depth": 3},
    "bottleneck_layers": {"pairs": 2},
    "degradation": {"pairs": 2, "methods": ["leave-one-out"]},
    "early_exit": {"pairs": 12, "depth": 3, "folds": 2},
    "faithfulness": {"pairs": 4, "of": {"queries": 2, "documents": 3, "methods": METHODS_ASKED}},
    "fine_tuning": {"pairs": 6, "of": {"queries": 6, "documents": 3, "epochs": 1, "seeds": 1}},
    "head_rankings": {"pairs": 12, "depth": 3, "best": 2},
    "hidden_periods": {"depth": 3},
    "highlights": {"pairs": 2},
    "idf_edit": {"of": {"queries": 2, "documents": 3, "scales": [2.0]}},
    "interaction_masks": {"depth": 3, "swapped": 2},
    "layer_attribution": {"pairs": 2, "steps": 4, "most_steps": 4},
    "layer_probes": {"pairs": 12, "depth": 3, "epochs": 1, "folds": 2, "words": WHOLE},
    "linear_bm25": {"pairs": 4, "queries": 8, "documents": 4, "of": {"queries": 5, "documents": 3}},
    "neuron_ablation": NEURONS
    | {"words": WHOLE, "of": {"queries": 2, "others": 2, "shares": "1", "steps": 2}},
    "neuron_agreement": NEURONS | {"pairs": 48, "queries": 12, "of": {"neurons": 3, "steps": 2}},
    "neuron_layers": NEURONS | {"of": {"shares": "1", "steps": 2}},
    "neuron_overlap": NEURONS | {"of": {"shares": "1", "steps": 2}},
    "neuron_words": NEURONS | {"of": {"steps": 2}},
    "scoring_heads": {"pairs": 12, "depth": 3, "folds": 3, "epochs": 1},
    "sentence_order": {"pairs": 9},
    "sentence_positions": {"pairs": 1},
    "term_removal": {"pairs": 6, "depth": 3, "trained": 6},
    "truncation": {"pairs": 1, "noise": "reference code", "beta": "1e-5"},
    "without_markers": {"depth": 3},
}
# They rank or standardise what in the planted model is nothing but rounding.
OF_ROUNDING: Final = {"early_exit", "neuron_agreement"}
OWN: Final = {
    "discovery",  # runs the methods that the test above runs, on models that it plants
    "semantic_similarity",  # below
}


def answered(name: str, folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of an analysis."""
    asked = dict(ASKED.get(name, {}))
    n, more = asked.pop("pairs", 3), asked.pop("of", {})
    some = texts(asked.pop("queries", 4), asked.pop("documents", 3), asked.pop("words", FIRST))
    options = catalogue()[name].options(**asked, **more)
    run = Findings.create(folder, {"analysis": name})
    model = case("bert", None).model if name in OF_ROUNDING else planted()
    answer_into(name, Given(model, (some,), n, 0, options, run, lambda *_: None))
    return {title: run.read(title) for title in run.tables()}


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in an order that their numbers do not decide, and no p of an effect that is rounding."""
    found = table.copy()
    if {"mean", "p", "q"} <= {*found}:
        found.loc[found["mean"].abs() < 1e-9, ["p", "q"]] = np.nan
    names = [name for name in found if isinstance(found[name].iloc[0], str | int | np.integer)]
    return found.sort_values(names, kind="stable", ignore_index=True) if names else found


@pytest.mark.parametrize("name", [name for name in catalogue() if name not in OWN])
def test_an_analysis_has_the_same_tables_with_little_memory(name: str, tmp_path: Path):
    expected = answered(name, tmp_path / "one")
    assert expected
    with small_device(1) as sizes:
        found = answered(name, tmp_path / "two")
    assert max(sizes) > 1, "memory was never short"
    assert found.keys() == expected.keys()
    for title, table in expected.items():
        assert len(table), title
        pd.testing.assert_frame_equal(
            settled(found[title]), settled(table), rtol=1e-6, atol=1e-9, obj=title
        )


def test_sentences_are_encoded_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sentence_transformers import SentenceTransformer

    original, tokenizer = tiny("bert")
    for part in (original.bert, tokenizer):
        part.save_pretrained(tmp_path / "encoder")
    options = semantic_similarity.Options(encoder=str(tmp_path / "encoder"))

    def similarity(folder: str) -> pd.DataFrame:
        run = Findings.create(tmp_path / folder, {})
        given = (case("bert", None).model, (texts(8, 4),), 6, 0, options, run)
        return semantic_similarity.analyse(Given(*given, lambda *_: None)).queries

    expected, whole, sizes = similarity("one"), SentenceTransformer.encode, []

    def encode(encoder: SentenceTransformer, those: list[str], **options: Any) -> Any:
        sizes.append(len(those))
        if len(those) > 1:
            raise torch.OutOfMemoryError
        return whole(encoder, those, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", encode)
    pd.testing.assert_frame_equal(similarity("two"), expected, rtol=1e-5)
    assert max(sizes) > 1 == min(sizes)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_has_the_same_verdict_with_little_memory(name: str):
    some = short_sentences(collection().sample(12, 4), FIRST)

    def verdict() -> Any:
        model = planted()
        evidence = Evidence(model, Axioms(model, some), n=4, scored=8)
        try:
            return CLAIMS[name].detect(evidence)
        except NotMeasurable as error:
            why = pd.DataFrame({"why": [str(error)]})
            return SimpleNamespace(frame=lambda: why, members=())

    expected = verdict()
    with small_device(1) as sizes:
        found = verdict()
    assert max(sizes) > 1 and found.members == expected.members
    pd.testing.assert_frame_equal(found.frame(), expected.frame(), rtol=1e-6, atol=1e-9)


def test_a_checkpoint_is_loaded_with_little_memory():
    """And where there is none, the checkpoint is not to blame."""
    with small_device(1) as sizes:
        load(*tiny("bert"))
    assert sizes[0] > 1 == sizes[-1]
    with small_device(0), pytest.raises(DoesNotFit, match=r"^one pair of \d+ tokens does not fit"):
        load(*tiny("bert"))


# --- what is drawn -------------------------------------------------------------------------------


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def under_noise(here: Case) -> Any:
    """Noise in the stream and in a head, through the scores, the sites and a ranking."""
    model, pairs = here.model, here.pairs
    hooks = [
        noise(Site("resid_pre", 1).at(), 0.5, generator=drawn()),
        noise(head(1, 1), 0.2, std=2.0, generator=drawn()),
    ]
    with model.hooked(*hooks):
        found = [scores_of(model, pairs), recorded(model, pairs, ["z"])[1]]
        found += [model.score(QUERY, DOCUMENTS, batch=batch) for batch in (1, 2, 32)]
    assert not torch.allclose(found[0], scores_of(model, pairs))
    return found


def of_other_pairs(here: Case) -> Any:
    """Donors of some tokens and of a head."""
    model, pairs = here.model, here.pairs
    cache, _ = recorded(model, pairs, ["z", "resid_pre"])
    units = [Site("resid_pre", 1).at(pos="document"), head(1, 1)]
    with model.hooked(*(resample(unit, cache, pairs, generator=drawn()) for unit in units)):
        return scores_of(model, pairs)


@pytest.mark.parametrize("measure", [under_noise, of_other_pairs])
def test_what_is_drawn_does_not_depend_on_memory_or_device(measure: Callable[[Case], Any]):
    here = small_case()
    require_same_numbers(lambda: measure(here))
    with simulated_device():
        found = measure(small_case(DEVICE))
    require_alike(found, measure(here), rtol=1e-6)


def test_a_ranking_under_noise_does_not_depend_on_memory():
    lines = ["noise 1.resid_post keep 0.6 std 0.5 seed 3", "noise 1.1 keep 0.1"]
    some = texts(4, 3)
    expected = rerank(planted(), some, lines)
    with small_device(1) as sizes:
        found = rerank(planted(), some, lines)
    assert max(sizes) > 1
    for qid, ranking in expected.items():
        assert [each.doc_id for each in found[qid]] == [each.doc_id for each in ranking]
        scores = [[each.score for each in run] for run in (found[qid], ranking)]
        np.testing.assert_allclose(*scores, rtol=1e-6)
