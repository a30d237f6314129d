import gzip
from pathlib import Path

import pytest
from ir_measures import read_trec_run, ScoredDoc

from crosslens.corpora.collection import Collection
from crosslens.ranking import rerank, Run


COLLECTION = Collection(
    name="letters",
    queries={"q1": "aa", "q2": "b"},
    documents={"d1": "aab", "d2": "b", "d3": "bba", "d4": "never a candidate"},
    candidates={"q1": ("d2", "d1", "d3"), "q2": ("d3", "d2", "d1")},
)


def letters(query: str, documents: list[str]) -> list[float]:
    """How often the first letter of the query occurs in each document."""
    return [float(document.count(query[0])) for document in documents]


def order(run: Run, qid: str) -> list[str]:
    return [each.doc_id for each in run[qid]]


def test_candidates_are_ranked_by_score_and_ties_by_id() -> None:
    run = rerank(letters, COLLECTION, name="letters")
    assert order(run, "q1") == ["d1", "d3", "d2"]
    assert order(run, "q2") == ["d3", "d1", "d2"]  # 2, then 1 and 1
    assert run["q1"][0] == ScoredDoc("q1", "d1", 2.0)
    assert list(run) == ["q1", "q2"]
    assert repr(run) == "Run('letters': 2 queries, 6 scored documents)"


def test_progress_sees_every_query_and_changes_nothing() -> None:
    seen = []

    def watch(qids: list[str]) -> list[str]:
        seen.extend(qids)
        return qids

    assert rerank(letters, COLLECTION, progress=watch) == rerank(letters, COLLECTION)
    assert seen == ["q1", "q2"]


def test_a_saved_run_is_the_same_run_and_one_that_others_read(tmp_path: Path) -> None:
    run = rerank(lambda query, documents: [1 / 3, 1e-300, -2.5e17], COLLECTION, name="odd")
    run.save(tmp_path / "run.txt")
    assert Run.load(tmp_path / "run.txt") == run
    assert (tmp_path / "run.txt").read_text().startswith("q1 Q0 d2 1 0.3333333333333333 odd\n")
    theirs = list(read_trec_run(str(tmp_path / "run.txt")))
    assert theirs == [each for docs in run.values() for each in docs]
    (tmp_path / "run.txt.gz").write_bytes(gzip.compress((tmp_path / "run.txt").read_bytes()))
    assert Run.load(tmp_path / "run.txt.gz") == run


def test_a_score_that_misses_a_document_is_refused() -> None:
    with pytest.raises(ValueError, match="query 'q1': 2 scores for 3 documents"):
        rerank(lambda query, documents: [1.0, 2.0], COLLECTION)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="document 'd2' for query 'q1' is nan"):
        rerank(lambda query, documents: [float("nan")] * 3, COLLECTION)


def test_a_document_scored_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="document 'd' is scored twice for query 'q'"):
        Run.of([ScoredDoc("q", "d", 1.0), ScoredDoc("q", "d", 2.0)])


def test_an_id_that_a_run_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'my doc' has some"):
        Run.of([ScoredDoc("q", "my doc", 1.0)]).save(tmp_path / "run.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("q Q0 d 1 0.5", r"run.txt:2: found 5 fields, expected 6"),
        ("q Q0 e 2 0.5 tag", r"run.txt:2: query 'q' and document 'e' were ranked in line 1"),
        ("q Q0 d 1 high tag", r"run.txt:2: found the score 'high', expected a finite number"),
    ],
)
def test_a_broken_run_is_named_with_its_line(tmp_path: Path, line: str, error: str) -> None:
    (tmp_path / "run.txt").write_text(f"q Q0 e 1 0.7 tag\n{line}\n")
    with pytest.raises(ValueError, match=error):
        Run.load(tmp_path / "run.txt")


def test_a_run_goes_to_a_frame_and_back() -> None:
    run = Run.of([ScoredDoc("q", "a", 0.25), ScoredDoc("q", "b", 2.0), ScoredDoc("p", "a", -1.0)])
    frame = run.frame()
    assert frame.iloc[0].to_dict() == {"qid": "q", "docid": "b", "rank": 1, "score": 2.0}
    assert dict(Run.of_frame(frame.sample(frac=1, random_state=1))) == dict(run)
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        Run.of_frame(frame.drop(columns="score"))
    with pytest.raises(TypeError, match="query 7"):
        Run.of_frame(frame.assign(qid=7))


def test_a_run_of_ms_marco_has_three_columns(tmp_path: Path) -> None:
    path = tmp_path / "run.tsv"
    path.write_text("7\td9\t1\n7\td3\t2\n")
    assert [each.doc_id for each in Run.load(path)["7"]] == ["d9", "d3"]


def test_ranks_and_scores_in_one_run_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("7 Q0 d9 1 12.5 bm25\n\n7 d3 2\n")
    with pytest.raises(ValueError, match=r"run.txt:3: found 3 fields, expected 6 as in the first"):
        Run.load(path)


def test_a_rank_that_no_float_holds_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.tsv"
    path.write_text(f"7\td9\t1\n7\td3\t{'9' * 400}\n")
    with pytest.raises(ValueError, match=r"run.tsv:2: found the rank 9+…, expected a number of 18"):
        Run.load(path)


@pytest.mark.parametrize("score", ["inf", "nan", "1_0", "٣", "1e999"])
def test_a_score_is_a_finite_number(tmp_path: Path, score: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(f"q Q0 d 1 {score} tag\n")
    with pytest.raises(ValueError, match="score"):
        Run.load(path)
