"""Labels, candidates and pairs are read as training needs them."""

import gzip

from crosslens.default.training.collection import part, read


def test_candidates_are_judged_or_listed_and_labels_at_least_0(tmp_path):
    (tmp_path / "queries.tsv").write_text("q1\twhere\nq2\twhen\n")
    (tmp_path / "docs.tsv").write_text("a\there\nb\tthere\nc\tnow\nd\t \n")
    (tmp_path / "qrels.txt").write_text("q1 0 a -2\nq1 0 b 3\nq1 0 d 1\n")
    judged = read(tmp_path)
    assert judged.candidates == {"q1": ("a", "b")}  # not those that BM25 would find
    (tmp_path / "candidates.tsv").write_text("q1\tc\nq1\tb\nq2\tc\n")
    both = read(tmp_path)
    assert both.labels == judged.labels == {"q1": {"a": 0, "b": 3}}
    assert both.candidates == {"q1": ("a", "b", "c"), "q2": ("c",)}
    assert both.dropped == ("d",)


def test_pairs_of_one_id_are_all_kept_and_an_empty_answer_is_not(tmp_path):
    rows = ["7_1-1\ts\tinformation\tflu\tWhat is (are) flu ?\tA fever."]
    rows += ["7_1-1\ts\tinformation\tmumps\tWhat is (are) mumps ?\tA swelling."]
    rows += ["8_1-1\ts\tinformation\tgout\tWhat is (are) gout ?\t "]
    with gzip.open(tmp_path / "pairs.tsv.gz", "wt") as file:
        file.write("\n".join(rows) + "\n")
    found = read(tmp_path)
    assert list(found.queries.values()) == ["What is flu?", "What is mumps?", "What is gout?"]
    assert list(found.documents.values()) == ["A fever.", "A swelling."]
    assert found.candidates == {key: (key,) for key in found.documents}
    assert len(found.dropped) == 1


def test_a_part_keeps_what_refers_to_it_and_none_is_no_collection(collections):
    whole = collections["wikiqa"]
    first, *_ = whole.queries
    one = part(whole, query=lambda qid: qid == first)
    assert one and one.documents == whole.documents
    assert one.labels == {first: whole.labels[first]}
    assert one.candidates == {first: whole.candidates[first]}
    assert part(whole, query=lambda qid: False) is None
