"""The analyses of lu2025 on planted models, where it is known through which heads a match goes."""

from functools import cache
from pathlib import Path

import pytest
from crosslens.analyses import matching_heads, signal_patching
from crosslens.analyses.running import Given

from crosslens import collection, CrossEncoder, Findings, load, NotMeasurable, plant
from crosslens.planted import Planted


SEEDS = (1, 4)


@cache
def planted_with(seed: int) -> tuple[Planted, CrossEncoder]:
    """A planted model with three decoys, its matching and scoring heads where the seed has them."""
    planted = plant(f"planted:bm25?seed={seed}&decoys=3&heads=3")
    return planted, load(planted)


def given(model: CrossEncoder, folder: Path, options=None) -> Given:
    texts = collection("embedded").sample(12, 6)
    run = Findings.create(folder, {}, provenance={})
    return Given(model, (texts,), 4, 0, options, run, lambda *_: None)


@pytest.mark.parametrize("seed", SEEDS)
def test_patching_finds_the_planted_heads_and_the_way_of_a_match(seed: int, tmp_path: Path):
    planted, model = planted_with(seed)
    found = signal_patching.analyse(given(model, tmp_path))
    (matching, matcher), (scoring, scorer) = planted.placement.matching, planted.placement.scoring
    exact = found.heads[found.heads["signal"] == "TFC1"].set_index("head")["mean"]
    known = {f"{matching}.{matcher}", f"{scoring}.{scorer}"}
    assert set(exact.nlargest(2).index) == known
    assert exact[list(known)].min() > 0.9 and exact.drop(list(known)).abs().max() < 0.05
    places = found.places[found.places["signal"] == "TFC1"].set_index(["layer", "place"])["mean"]
    assert places[0, "injected word"] == pytest.approx(1, abs=1e-3)
    after = min(matching + 1, scoring)
    assert places[after, "query term"] == pytest.approx(1, abs=0.05)
    assert places[0, "query term"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_matching_heads_are_the_planted_ones_and_decoys_are_not(seed: int, tmp_path: Path):
    planted, model = planted_with(seed)
    found = matching_heads.analyse(given(model, tmp_path, matching_heads.Options()))
    chosen = found.heads.loc[found.heads["is_matching"], "head"].tolist()
    layer, index = planted.placement.matching
    assert chosen == [f"{layer}.{index}"]
    groups = found.groups.set_index(["measure", "group"])["mean"]
    gain = "one more exact match"
    assert groups[gain, "matching heads"] > 0.02
    occurrences = found.curves[
        (found.curves["signal"] == "occurrences") & (found.curves["group"] == "matching heads")
    ]
    assert (occurrences.sort_values("level")["mean"].diff().dropna() > 0).all()


def test_where_no_head_restores_a_match_nothing_is_claimed(model: CrossEncoder, tmp_path: Path):
    with pytest.raises(NotMeasurable, match="no head restores|no pair|score"):
        matching_heads.analyse(given(model, tmp_path, matching_heads.Options()))
