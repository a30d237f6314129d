"""ir_datasets itself, on collections registered here, so that none is fetched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ir_measures import ScoredDoc

import crosslens.corpora.catalogue as catalogue
from crosslens.corpora.reading import collection


FILES = {
    "queries": "q1\twhy do cats purr\nq2\tnever judged\n",
    "docs": "d1\tCats purr.\nd2\tDogs bark.\nd3\tParis.\nd4\tWhy cats.\n",
    "qrels": "q1 0 d1 2\nq1 0 d2 0\nq1 0 d3 0\nq1 0 d9 1\n",
}

Register = Callable[..., str]


@pytest.fixture(scope="module")
def ir_datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        # it makes folders when it is imported; not in the home of whoever runs the tests
        patch.setenv("IR_DATASETS_HOME", str(tmp_path_factory.mktemp("ir_datasets")))
        return pytest.importorskip("ir_datasets")


@pytest.fixture
def register(tmp_path: Path, ir_datasets: Any) -> Register:
    """Makes a collection of these files known to ir_datasets; its crosslens name."""

    def named(**files: str) -> str:
        paths = {}
        for kind, content in {**FILES, **files}.items():
            paths[kind] = tmp_path / f"{kind}.txt"
            paths[kind].write_text(content)
        formats, here = ir_datasets.formats, ir_datasets.util.LocalDownload
        dataset = ir_datasets.datasets.base.Dataset(
            formats.TsvDocs(here(paths["docs"])),
            formats.TsvQueries(here(paths["queries"])),
            formats.TrecQrels(here(paths["qrels"]), {}),
            *([formats.TrecScoredDocs(here(paths["run"]))] if "run" in paths else []),
        )
        name = f"here/{tmp_path.name}/{len(list(tmp_path.iterdir()))}/{hash(str(files))}"
        ir_datasets.registry.register(name, dataset)
        return f"ir_datasets:{name}"

    return named


def test_judged_queries_and_judged_documents_are_read(register: Register) -> None:
    read = collection(register())
    assert read.queries == {"q1": "why do cats purr"}
    assert read.documents == {"d1": "Cats purr.", "d2": "Dogs bark.", "d3": "Paris."}
    assert read.candidates == {"q1": ("d1", "d2", "d3")}
    assert read.dropped == ("d9",)  # judged, and not to be had


def test_the_documents_of_a_first_stage_are_the_candidates(register: Register) -> None:
    run = "q1 Q0 d4 1 9.5 x\nq1 Q0 d1 2 9.1 x\nq2 Q0 d1 1 9.0 x\n"
    read = collection(register(run=run))
    assert read.candidates == {"q1": ("d4", "d1")}  # nobody judged q2
    assert read.documents.keys() == {"d1", "d2", "d3", "d4"}
    assert read.pool == "scored documents of ir_datasets"


def test_where_only_positives_are_judged_every_document_is_read(register: Register) -> None:
    read = collection(register(qrels="q1 0 d1 1\n"))
    assert read.candidates == {"q1": ("d1", "d4")}
    assert read.pool == "BM25 top 100"


def test_the_documents_of_a_run_alone_are_read_and_every_query(register: Register) -> None:
    name = register()
    run = {"q2": [ScoredDoc("q2", "d4", 2.0), ScoredDoc("q2", "d1", 1.0)]}
    read = collection(name, only={"d1", "d4"}).with_candidates(run)
    assert read.documents.keys() == {"d1", "d4"} and read.queries.keys() == {"q1", "q2"}
    assert read.candidates == {"q2": ("d4", "d1")}
    with pytest.raises(ValueError, match=r"lacks \('d99'\)"):
        run["q2"].append(ScoredDoc("q2", "d99", 0.0))
        collection(name, only={"d1", "d4", "d99"}).with_candidates(run)
    with pytest.raises(ValueError, match=r"none of the 1 documents .* \('d99'\)"):
        collection(name, only={"d99"})


def test_too_many_documents_to_look_through_are_refused(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MOST_DOCUMENTS", 3)
    with pytest.raises(ValueError, match=r"found among more than 3; write .* first-stage run"):
        collection(register(qrels="q1 0 d1 1\n"))
    assert collection(register()).n_pairs == 3  # control: a pool needs no search


@pytest.mark.usefixtures("ir_datasets")
def test_an_unknown_name_is_refused_with_an_example() -> None:
    with pytest.raises(LookupError, match=r"knows no collection 'beir/nothing'.*for instance"):
        collection("ir_datasets:beir/nothing")
