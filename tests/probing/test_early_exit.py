"""Early exit: what the head reads of each layer is what a model cut there would score."""

from copy import deepcopy

import pytest
import torch

from crosslens import load, plant
from crosslens.probing import early_scores


def test_each_row_is_the_score_of_the_model_cut_after_that_layer(any_model, pairs):
    pairs = any_model.pairs(pairs.query, pairs.document)
    found = early_scores(any_model, pairs)
    assert found.shape == (any_model.cfg.n_layers + 1, len(pairs))
    for layer in range(1, len(found)):
        cut = deepcopy(any_model)
        with torch.no_grad():  # blocks that add nothing to a stream are blocks that are not there
            replay = cut.replay(pairs)
            stream = cut.embedding(pairs)
            for block in replay.blocks[:layer]:
                stream = block(stream, replay.context)
            score = replay.score(stream)
        torch.testing.assert_close(found[layer], score, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[-1], any_model(pairs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_score_is_there_from_the_layer_of_its_scoring_head_on(seed):
    spec = f"planted:bm25?seed={seed}&layers=6&decoys=2"
    model, (scoring, _) = load(spec), plant(spec).placement.scoring
    found = early_scores(model, model.pair("why do cats purr", "cats purr", "the bus", "cats rest"))
    before, after = found[: scoring + 1], found[scoring + 1 :]
    assert (before.std(dim=1) < 1e-3).all() and (after.std(dim=1) > 0.1).all()
