"""`crosslens rerank`: runs in and out, nothing lost, and errors that say what to do."""

import gzip
from pathlib import Path

import pytest
from command_line import crosslens as command, LOADED
from encoder_decoders import encoder_decoder, tokenizer as t5_tokenizer
from lightning_ir_checkpoints import encoder, linear, write
from short_texts import short_texts
from trec_files import write_trec

from crosslens import collection, Findings, load, rerank, Run
from crosslens.cli.running import PLANTED
from crosslens.corpora import readable
from crosslens.reranking.parts import Parts


EDIT = ["-i", "ablate 2.0 2.1 1.mlp"]

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A little judged collection in the style of TREC, with a document without text, and a run."""
    few = short_texts(4, 5)
    made = write_trec(tmp_path_factory.mktemp("collection"), few)
    with (made / "docs.tsv").open("a") as documents:
        documents.write("void\t \n")
    first = rerank(lambda query, documents: map(len, documents), few)
    [qid, *_] = first
    (made / "first.txt").write_text(first.lines() + f"{qid} Q0 void 6 -1 crosslens\n")
    return made


def crosslens(folder: Path, *arguments: str | Path):
    return command("rerank", "--model", PLANTED, "--collection", folder, *arguments)


def loaded(text: str, tmp_path: Path) -> Run:
    (tmp_path / "loaded.txt").write_text(text)
    return Run.load(tmp_path / "loaded.txt")


def test_standard_output_is_the_run_alone(folder, tmp_path):
    result = crosslens(folder, folder / "first.txt", *EDIT)
    assert result.exit_code == 0, result.output
    texts = collection(folder).with_candidates(Run.load(folder / "first.txt"))
    assert loaded(result.stdout, tmp_path) == rerank(LOADED(PLANTED), texts, EDIT[1:])
    for shown in (
        "20 documents of 4 queries: a run",
        "1 documents of the collection have no text",
        "ablate 2.0 2.1 1.mlp",
        "Kendall's tau",
        "nDCG@10",
        "unedited",
    ):
        assert shown in result.stderr


def test_without_interventions_it_is_compared_with_the_run_as_given(folder, tmp_path):
    result = crosslens(folder, folder / "first.txt", "--out", tmp_path / "run.txt")
    assert result.exit_code == 0, result.output
    assert "as given" in result.stdout and "scores changed" not in result.stdout
    texts = collection(folder).with_candidates(Run.load(folder / "first.txt"))
    assert Run.load(tmp_path / "run.txt") == rerank(LOADED(PLANTED), texts)
    alone = crosslens(folder)
    assert alone.exit_code == 0 and "BM25 top 100" in alone.stderr
    assert "difference" not in alone.stderr


def test_a_depth_reads_and_ranks_the_first_documents_of_each_query(folder, tmp_path):
    result = crosslens(folder, folder / "first.txt", "--depth", "2")
    assert result.exit_code == 0, result.output
    assert "8 documents of 4 queries: a run, at most 2 of each query" in result.stderr
    first, found = Run.load(folder / "first.txt"), loaded(result.stdout, tmp_path)
    for qid, ranked in found.items():
        assert {each.doc_id for each in ranked} == {each.doc_id for each in first[qid][:2]}


def test_a_zipped_run_is_written_and_read(folder, tmp_path):
    out = tmp_path / "run.txt.gz"
    assert crosslens(folder, folder / "first.txt", "--out", out).exit_code == 0
    plain = tmp_path / "run.txt"
    assert crosslens(folder, folder / "first.txt", "--out", plain).exit_code == 0
    assert gzip.decompress(out.read_bytes()) == plain.read_bytes()
    assert Run.load(out) == Run.load(plain)


def test_an_id_that_a_run_cannot_hold_is_refused_before_anything_is_scored(tmp_path):
    (tmp_path / "queries.tsv").write_text("q\tboat river\n")
    (tmp_path / "docs.tsv").write_text("a b\ta boat\nb\tthe river\n")
    (tmp_path / "candidates.tsv").write_text("q\ta b\nq\tb\n")
    result = crosslens(tmp_path)
    assert result.exit_code == 2 and "white space; 'a b' has some" in result.stderr
    assert "Reranking" not in result.stderr


def test_an_interrupted_run_loses_the_part_in_hand_only(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", 1)
    plain, scored = Parts.of_query, []

    def until_the_third(self, qid):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(qid)
        return plain(self, qid)

    out = tmp_path / "run.txt"
    words = [folder / "first.txt", *EDIT, "--out", out]
    with monkeypatch.context() as patched:
        patched.setattr(Parts, "of_query", until_the_third)
        result = crosslens(folder, *words)
    assert result.exit_code == 130 and "--resume" in result.stderr
    assert not out.exists()
    assert crosslens(folder, *words).exit_code == 2, "nothing is overwritten"
    other = crosslens(folder, folder / "first.txt", "--out", out, "--resume")
    assert other.exit_code == 2 and "interventions" in other.stderr
    monkeypatch.setattr(Parts, "of_query", lambda self, q: scored.append(q) or plain(self, q))
    result = crosslens(folder, *words, "--resume", "--quiet")
    assert result.exit_code == 0 and result.stdout.strip() == str(out)
    assert len(scored) == len(set(scored)) == 4
    fresh = crosslens(folder, *words[:-1], tmp_path / "fresh.txt")
    assert fresh.exit_code == 0 and (tmp_path / "fresh.txt").read_text() == out.read_text()
    assert crosslens(folder, *words).exit_code == 2, "the finished run neither"


def test_long_passages_are_counted(folder, tmp_path):
    (tmp_path / "queries.tsv").write_text("q\tboat river\n")
    (tmp_path / "docs.tsv").write_text(f"a\t{'boat ' * 3_000}\nb\tthe river\n")
    (tmp_path / "candidates.tsv").write_text("q\ta\nq\tb\n")
    result = crosslens(tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 of 2 pairs are longer than the" in result.stderr
    assert "nothing is measured" in result.stderr


def test_texts_that_are_cut_each_by_itself_are_counted_with_their_lengths(folder, tmp_path):
    model = write(tmp_path, *encoder("electra"), linear(24))
    result = command("rerank", "--model", model, "--collection", folder)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "longer than the 96 tokens, 6 of a query, 30 of a document that the model" in said


@pytest.fixture
def with_a_long_query(tmp_path) -> tuple[Path, Path]:
    """A tiny monoT5 that reads 60 tokens, and a judged collection with a query of more."""
    texts = {"q1": "boat river", "q2": "boat " * 80, "q3": "river"}
    documents = {"a": "a boat", "b": "the river", "c": "a boat on the river"}
    words = t5_tokenizer(["a", "the", "on", "boat", "river"])
    words.model_max_length = 60
    folder, made = tmp_path / "monot5-tiny", tmp_path / "texts"
    for part in (encoder_decoder(vocab_size=len(words)), words):
        part.save_pretrained(folder)
    made.mkdir()
    for name, of in (("queries.tsv", texts), ("docs.tsv", documents)):
        (made / name).write_text("".join(f"{key}\t{text}\n" for key, text in of.items()))
    (made / "qrels.txt").write_text(
        "".join(f"{qid} 0 {d} {d == 'a':d}\n" for qid in texts for d in documents)
    )
    (made / "run.txt").write_text(
        "".join(f"{qid} Q0 {d} {i} {-i} bm25\n" for qid in texts for i, d in enumerate("abc"))
    )
    return folder, made


def test_a_query_that_leaves_no_space_is_left_out_and_named_and_counts_as_0(with_a_long_query):
    model, texts = with_a_long_query
    out = texts / "out.txt"
    words = ["rerank", "--model", model, "--collection", texts, texts / "run.txt", "--out", out]
    result = command(*words)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "1 texts that the model cannot read are left out: query q2 is so long that" in said
    assert "6 documents of 2 queries" in said
    assert "1 judged queries are not ranked: they count as 0" in said
    kept = Findings.open(out.with_name("out.txt.parts"))
    assert list(kept.meta["unreadable"]) == ["query q2"]
    found = Run.load(out)
    assert set(found) == {"q1", "q3"}
    whole = collection(texts).with_candidates(Run.load(texts / "run.txt"))
    loaded_model = load(model)
    with pytest.raises(ValueError, match=r"query 'q2', document 'a': .* no room .*readable\("):
        rerank(loaded_model, whole)
    assert rerank(loaded_model, readable(loaded_model, whole).collection) == found


def test_a_ranking_of_which_no_query_can_be_read_is_refused_by_name(with_a_long_query):
    model, texts = with_a_long_query
    (texts / "queries.tsv").write_text(f"q2\t{'boat ' * 80}\n")
    (texts / "qrels.txt").write_text("q2 0 a 1\n")
    (texts / "run.txt").unlink()
    result = command("rerank", "--model", model, "--collection", texts)
    assert result.exit_code != 0
    assert "can read no query of collection 'texts': query q2 is so long" in result.stderr


def test_an_analysis_leaves_such_a_query_out_too(with_a_long_query):
    model, texts = with_a_long_query
    out = texts / "out"
    words = ["analyse", "truncation", model, "--collection", texts, "--out", out, "--pairs", "3"]
    result = command(*words)
    assert result.exit_code == 0, result.output
    assert "left out: query q2 is so long" in " ".join(result.stdout.split())
    assert list(Findings.open(out).meta["unreadable"]) == ["query q2"]


def test_an_intervention_that_meets_nothing_says_so(folder):
    result = crosslens(folder, "-i", "scale embedding of 'qqq' by 0")
    assert result.exit_code == 0 and "No score changed" in result.stderr


def test_logits_and_interventions_of_a_file(folder, tmp_path):
    (tmp_path / "edits.yaml").write_text("- ablate 2.0 2.1 1.mlp\n")
    result = crosslens(
        folder, "--interventions", tmp_path / "edits.yaml", "--logits", "--no-compare"
    )
    assert result.exit_code == 0, result.output
    assert "unedited" not in result.stderr
    model, texts = LOADED(PLANTED), collection(folder)
    hooks = [h for e in ("2.0", "2.1", "1.mlp") for h in named_hooks(model, e)]
    with model.hooked(*hooks):
        run = rerank(lambda query, documents: model.score(query, documents).tolist(), texts)
    found = loaded(result.stdout, tmp_path)
    for qid, ranked in run.items():
        scores = {each.doc_id: each.score for each in found[qid]}
        assert all(scores[each.doc_id] == pytest.approx(each.score, abs=1e-5) for each in ranked)


def named_hooks(model, unit):
    from crosslens.interventions import named

    return named(f"ablate {unit}").hooks(model)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i", "ablte 2.9"], "did you mean ablate"),
        (["-i", "ablate 20.9"], "outside the model"),
        (["planted:bm25"], "A model is named by --model"),
        (["--resume"], "name the file"),
        (["--depth", "3"], "none was given"),
        (["bad.txt"], "none of the 1 documents that are to be ranked ('d1')"),
        (["worse.txt"], "1 queries that it lacks ('q9') and 1 documents that it lacks ('d1')"),
        (["broken.txt"], "broken.txt:1: found 2 fields"),
        (["first.txt", "--depth", "0"], "at least 1"),
        (["--interventions", "none.yaml"], "none.yaml"),
        (["--out", "docs.tsv"], "is there already"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    Path("bad.txt").write_text("q9 Q0 d1 1 0.5 tag\n")
    line = Path("first.txt").read_text().splitlines()[0]
    Path("worse.txt").write_text(f"{line}\nq9 Q0 d1 1 0.5 tag\n")
    Path("broken.txt").write_text("q9 Q0\n")
    result = crosslens(folder, *words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr and "Traceback" not in result.output
    assert not result.stdout or result.stdout.startswith("Loading")
