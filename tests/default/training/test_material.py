"""What is held out stays out; what is let in points where it should."""

from dataclasses import replace

import numpy as np
import pytest

from crosslens.default.training.collection import normalised
from crosslens.default.training.heldout import is_development, is_test, trainable
from crosslens.default.training.material import build
from crosslens.default.training.shelf import Portions, select
from crosslens.default.training.teacher import BiEncoder, Judgement


@pytest.fixture(scope="module")
def pools(collections, backbone, tmp_path_factory):
    return build(collections, BiEncoder.load(backbone), 1, tmp_path_factory.mktemp("pools"))


def test_no_held_out_query_and_no_text_it_is_judged_on_is_trained_on(collections, pools):
    held_out, trained = set(), set()
    for name, collection in collections.items():
        for qid, text in collection.queries.items():
            aside = is_development(name, qid) or is_test(name, qid)
            texts = [text, *(collection.documents[d] for d in collection.candidates[qid])]
            (held_out if aside else trained).update(map(normalised, texts))
    seen = {normalised(text) for text in pools.texts}
    assert held_out and not seen & held_out
    assert trained - held_out <= seen  # the control: the rest is there


def test_a_text_of_a_test_is_taken_out_of_other_collections(collections):
    text = next(iter(collections["trec-dl-2019"].documents.values()))
    whole = collections["wikiqa"]
    leaking = replace(whole, documents={**whole.documents, "copy": text.upper() + "!"})
    kept = trainable({**collections, "trec-qa": leaking})["trec-qa"]
    assert "copy" not in kept.documents
    assert kept.documents.keys() < whole.documents.keys()  # the control: other texts stay


def test_a_judged_answer_gains_its_bonus(collections, pools):
    of_source = [pool for pool in pools.pools if pool.source == "wikiqa"]
    assert of_source
    for pool in of_source:
        asked = pools.texts[pool.query].split()[3]
        right = np.array([asked in pools.texts[d] for d in pool.documents])
        right &= np.array(["wikiqa" in pools.texts[d] for d in pool.documents])
        assert pool.targets[right].min() > pool.targets[~right].mean()


def test_a_selection_takes_from_each_place_and_nothing_twice():
    blend, bm25 = np.linspace(1, 0, 1000), np.zeros(1000)
    bm25[700:760] = 1.0
    chosen = select(Judgement(blend, bm25, blend), Portions(4, 3, 3, 2), np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == 12
    assert sum(i < 8 for i in chosen) >= 4
    assert sum(700 <= i < 760 for i in chosen) >= 3
