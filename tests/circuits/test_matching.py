"""The published members of the matching claim; what a detector finds is in test_catalogue."""

from crosslens.circuits import bm25


def test_the_published_members_lie_inside_the_published_checkpoint():
    assert len(bm25.SEMANTIC_BM25.roles["matching"]) == 13
    for unit in bm25.SEMANTIC_BM25:
        assert unit.site.layer < 12 and dict(unit.coordinates)["head"] < 12
