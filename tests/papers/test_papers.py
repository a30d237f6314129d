"""Papers as data, and whether what is measured agrees with them."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from crosslens.analyses.catalogue import catalogue

from crosslens import Findings, load
from crosslens.cli import app
from crosslens.corpora.reading import collection
from crosslens.papers.agreement import AGREES, DISAGREES, judged, LEANS, NOT_MEASURED
from crosslens.papers.charts import drawn
from crosslens.papers.page import page
from crosslens.papers.paper import Finding, paper, paper_of, papers, Quantity
from crosslens.papers.reproduce import _typed, check_settings, reproduce


@pytest.mark.parametrize("name", papers())
def test_every_figure_asks_an_analysis_for_options_and_tables_it_has(name: str) -> None:
    for figure in paper(name).figures:
        analysis = catalogue()[figure.analysis]
        assert set(figure.options) <= {*analysis.defaults, "pairs"}, figure.number
        assert figure.chart.kind in ("lines", "points", "bars", "heatmap", "highlights", "table")
        assert not figure.needs or figure.needs in analysis.defaults


def test_a_figure_is_found_by_any_of_its_numbers() -> None:
    whole = paper("jiang2021")
    for number in ("Fig. 7", "fig 7", "Figure 7", "Fig. 4, 7"):
        assert [each.number for each in whole.only(number).figures] == ["Fig. 4, 7"]
    with pytest.raises(LookupError, match="no figure 'Fig. 99'; there are Fig. 1a"):
        whole.only("Fig. 99")
    with pytest.raises(LookupError, match="no paper is called 'nobody2020'; there are jiang2021, "):
        paper("nobody2020")


def test_a_broken_file_names_figure_and_key() -> None:
    text = """
    title: T
    citation: C
    about: A
    figures:
      - {number: Fig. 1, question: "Q?", analysis: truncation, table: t, chart: {kind: lines, z: 1}}
    """
    with pytest.raises(ValueError, match="t.yaml|Fig. 1: TypeError: .*'z'"):
        paper_of("t", yaml.safe_load(text))


TABLE = pd.DataFrame(
    {
        "layer": [0, 1, 2, 0, 1, 2],
        "method": ["a"] * 3 + ["b"] * 3,
        "value": [0.1, 0.5, 0.9, 0.2, 0.4, 0.6],
        "low": [0.0, 0.45, 0.8, 0.1, 0.3, 0.5],
        "high": [0.2, 0.55, 1.0, 0.3, 0.48, 0.7],
    }
)


def quantity(method: str, layer: int | str) -> Quantity:
    return Quantity("value", {"method": method, "layer": layer}, low="low", high="high")


@pytest.mark.parametrize(
    ("one", "other", "is_below", "verdict"),
    [
        (quantity("a", "last"), quantity("b", "last"), False, AGREES),
        (quantity("a", "last"), quantity("b", "last"), True, DISAGREES),
        (quantity("a", "first"), quantity("b", "first"), True, LEANS),
        (quantity("a", "middle"), 0.4, False, AGREES),
        (quantity("a", "middle"), 0.49, False, LEANS),
        (quantity("nobody", 0), 0.0, False, NOT_MEASURED),
    ],
)
def test_a_finding_agrees_where_intervals_lie_apart(
    one: Quantity, other: Quantity | float, is_below: bool, verdict: str
) -> None:
    finding = Finding("A is above B.", one, other, is_below, "1 against 0", "printed")
    found = judged(finding, "table", {"table": TABLE})
    assert found.verdict == verdict
    assert "1 against 0 (printed)" in found.sentence


def test_a_paper_is_reproduced_resumed_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts = load("planted:bm25"), collection("embedded").sample(4, 4)
    chosen = paper("jiang2021").only("Fig. 1a")
    settings = {"degradation": {"methods": "bottleneck, random"}}
    run = Findings.create(tmp_path / "run", {"paper": "jiang2021"})
    (found,) = reproduce(chosen, model, [texts], run, pairs=2, settings=settings)
    assert found.table is not None and set(found.table["method"]) == {"bottleneck", "random"}
    assert drawn(found.figure, found.table) is not None
    monkeypatch.setattr("crosslens.papers.reproduce.answer_into", None)  # nothing is computed again
    (again,) = reproduce(chosen, model, [texts], run, pairs=2, settings=settings)
    assert again.agreements == found.agreements
    facts = {"model": "<b>m</b>", "collections": "c", "seed": 0, "command": "x", "version": "0"}
    text = page(chosen, [again], facts)
    assert "<b>m</b>" not in text and "Fig. 1a" in text
    about = replace(chosen, about="`crosslens x` & <i>y</i>")
    assert "<p><code>crosslens x</code> &amp; &lt;i&gt;y" in page(about, [again], facts)
    nothing = replace(again, tables={name: each.iloc[:0] for name, each in again.tables.items()})
    assert "hold nothing that the figure counts" in page(chosen, [nothing], facts)
    assert "hold nothing that the figure counts" not in text


def test_a_table_of_a_finished_analysis_that_is_gone_is_made_again(tmp_path: Path) -> None:
    model, texts = load("planted:bm25"), collection("embedded").sample(4, 4)
    chosen = paper("jiang2021").only("Fig. 1a")
    settings = {"degradation": {"methods": "bottleneck, random"}}
    run = Findings.create(tmp_path / "run", {"paper": "jiang2021"})
    (found,) = reproduce(chosen, model, [texts], run, pairs=2, settings=settings)
    table = tmp_path / "run" / "degradation" / f"{found.figure.table}.parquet"
    whole = table.read_bytes()
    table.unlink()
    (again,) = reproduce(chosen, model, [texts], run, pairs=2, settings=settings)
    assert again.table is not None and again.table.equals(found.table)
    assert table.read_bytes() == whole


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    model, texts = load("planted:bm25"), collection("embedded").sample(2, 3)
    run = Findings.create(tmp_path / "run", {"paper": "jiang2021"})
    (found,) = reproduce(paper("jiang2021").only("App. F"), model, [texts], run)
    assert "--set semantic_similarity.encoder" in found.why_not and found.table is None


def test_settings_that_no_analysis_has_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for setting, why in (
        ("truncation.wings=2", "has no option 'wings'"),
        ("nobody.layer=2", "has no analysis 'nobody'"),
        ("truncation", "expected ANALYSIS.OPTION=VALUE"),
        ("truncation.layer=x", "--set truncation.layer=x: expected int"),
        ("truncation.pairs=0", "--set truncation.pairs=0: expected 1 or more"),
        ("sentence_order.recall=3,x", "expected int"),
    ):
        command = ["reproduce", "jiang2021", "planted:bm25", "--out", str(tmp_path / "r")]
        assert app([*command, "--set", setting], standalone_mode=False) == 2
        assert why in capsys.readouterr().err


def test_a_setting_is_read_as_its_option_is() -> None:
    given = {
        "sentence_order": {"recall": "3, 10"},
        "idf_direction": {"authors": "false", "df_documents": "1000"},
        "idf_edit": {"scales": "3,10", "words": "words.txt"},
        "scoring_heads": {"trains": "all", "rate": "3e-6"},
    }
    assert {name: _typed(catalogue()[name], own) for name, own in given.items()} == {
        "sentence_order": {"recall": [3, 10]},
        "idf_direction": {"authors": False, "df_documents": 1000},
        "idf_edit": {"scales": [3.0, 10.0], "words": Path("words.txt")},
        "scoring_heads": {"trains": "all", "rate": 3e-6},
    }
    for of, name, option, text in (
        ("lu2025", "idf_direction", "authors", "no"),
        ("qiao2019", "scoring_heads", "trains", "tail"),
        ("vast2024", "neuron_overlap", "collection", "nowhere"),  # given for all analyses
    ):
        with pytest.raises((ValueError, LookupError), match=option):
            check_settings(paper(of), {name: {option: text}})


def test_pairs_of_one_analysis_go_before_those_of_all(tmp_path: Path) -> None:
    model, texts = load("planted:bm25"), collection("embedded").sample(4, 4)
    run = Findings.create(tmp_path / "run", {"paper": "jiang2021"})
    settings = {"degradation": {"methods": "random", "pairs": "1"}}
    reproduce(paper("jiang2021").only("Fig. 1a"), model, [texts], run, pairs=2, settings=settings)
    assert Findings.open(run.folder / "degradation").config["pairs"] == 1


def test_papers_are_listed_with_the_command_of_each_figure(
    capsys: pytest.CaptureFixture,
) -> None:
    app(["papers"], standalone_mode=False)
    listed = " ".join(capsys.readouterr().out.split())
    assert "jiang2021" in listed and "Fig. 1a" in listed
