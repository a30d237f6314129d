"""Every benchmark runs, at a size where its numbers mean nothing."""

import json

import pytest
import torch
from short_texts import short_texts

from benchmarks import answering, plain, report_steps, searching
from benchmarks.__main__ import main, NAMES
from benchmarks.subject import SHAPES, subject
from benchmarks.timing import Clock, interleaved
from crosslens import load


SMALL = (
    "--shape tiny --tokens 12 --pairs 2 --rounds 1 --share 0.5 --threads 1 --passages 300"
).split()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("memory", "processes")])
def test_a_benchmark_measures_its_arms_and_writes_them(name, tmp_path, capsys, monkeypatch):
    for module in (searching, answering):  # a smaller model in the place of the embedded one
        monkeypatch.setattr(module, "load", lambda *_: load("planted:bm25"))
    monkeypatch.setattr(report_steps, "collection", lambda _: short_texts(8, 5))
    monkeypatch.setattr(searching, "AXIOMS", ("tfc1",))
    monkeypatch.setattr(answering, "WORDS", 4)
    monkeypatch.setattr(answering, "PASSAGES", 2)
    file = tmp_path / "found.json"
    tables = main([name, *SMALL, "--json", str(file)])
    assert tables and all(m.seconds > 0 for table in tables for m in table.arms.values())
    assert all(str(table) in capsys.readouterr().out or table is not tables[0] for table in tables)
    written = json.loads(file.read_text())
    assert [table["title"] for table in written["tables"]] == [table.title for table in tables]
    assert written["about"]["shape"] == "tiny"


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["haeds"])
    assert "no benchmark is called haeds; there are heads" in capsys.readouterr().err


def test_the_floor_computes_what_the_model_computes():
    made = subject(SHAPES["tiny"], tokens=12, pairs=3)
    with torch.no_grad(), made.model.record("resid_pre", "z") as cache:
        scores = made.model(made.base)
        for layer in range(made.shape.layers):
            resid, z = cache.layers("resid_pre")[layer], cache.layers("z")[layer]
            for entered in (None, z):
                found = plain.suffix(made.original, layer, resid, entered)[:, 0]
                torch.testing.assert_close(found, scores, atol=1e-4, rtol=0)


def test_ratios_are_taken_within_a_round(monkeypatch):
    clock = iter([0, 1, 1, 3, 3, 13, 13, 33])  # the second round is ten times slower for all
    monkeypatch.setattr(Clock, "now", lambda: next(clock))
    measured = interleaved({"one": lambda: 1, "two": lambda: 2}, rounds=2)
    assert measured["one"].seconds == 5.5 and measured["two"].ratio == 1.0
