import json
import platform
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import crosslens.versions as versions
from crosslens.findings import Findings
from crosslens.writing import write_checked


CONFIG = {"model": "planted:bm25", "pairs": 8, "contrasts": ("TFC1", "LNC2"), "lr": 1e-5}
ORIGIN = {"seed": 0, "checkpoint": {"name": "planted:bm25", "sha256": "ab12"}, "digest": "cd34"}
TABLE = pd.DataFrame({"pair": [0, 1], "unit": ["0.z[head=1]"] * 2, "effect": [0.25, np.nan]})


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings.create(tmp_path / "run", CONFIG, provenance=ORIGIN)


def again(findings: Findings, *, resume: bool = True, **changed: object) -> Findings:
    """The same folder, asked for the same or for something else."""
    return Findings.create(findings.folder, {**CONFIG, **changed}, provenance=ORIGIN, resume=resume)


def test_a_run_says_what_was_asked_and_with_what(findings: Findings) -> None:
    opened = Findings.open(findings.folder)
    assert opened.config == {**CONFIG, "contrasts": ["TFC1", "LNC2"]}
    assert {key: opened.meta[key] for key in ORIGIN} == ORIGIN
    assert opened.meta["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert opened.meta["versions"]["python"] == platform.python_version()
    opened.note(truncated=3, seconds=1.5)
    assert findings.meta["truncated"] == 3
    assert findings.meta["digest"] == "cd34"


def test_what_is_written_is_read(findings: Findings) -> None:
    findings.table("effects", TABLE, also_json=True)
    pd.testing.assert_frame_equal(findings.read("effects"), TABLE)
    records = json.loads((findings.folder / "effects.json").read_text())
    assert records[1] == {"pair": 1, "unit": "0.z[head=1]", "effect": None}
    by_query = TABLE.set_index("pair")
    findings.table("by-query", by_query, also_json=True)
    pd.testing.assert_frame_equal(findings.read("by-query"), by_query)
    assert json.loads((findings.folder / "by-query.json").read_text())[0]["pair"] == 0
    tensors = {"z": torch.arange(6.0).reshape(2, 3).T, "scores": torch.ones(2, dtype=torch.half)}
    tensors["z again"] = tensors["z"]  # shares its memory
    findings.tensors("cache", tensors)
    read = findings.read_tensors("cache")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert findings.text("report.html", "<p>ü</p>").read_text(encoding="utf-8") == "<p>ü</p>"
    assert findings.tables() == ["by-query", "effects"]


def part(key: int) -> pd.DataFrame:
    return pd.DataFrame({"chunk": [key], "effect": [key / 3]})


def test_a_resumed_run_computes_only_what_is_missing_and_ends_the_same(
    findings: Findings, tmp_path: Path
) -> None:
    computed = []

    def sweep(run: Findings, stop: int | None = None) -> pd.DataFrame:
        for key in range(12):
            if key == stop:
                raise KeyboardInterrupt
            run.chunk("sweep", f"{key}", lambda key=key: (computed.append(key), part(key))[1])
        return run.gather("sweep")

    with pytest.raises(KeyboardInterrupt):
        sweep(findings, stop=11)
    interrupted = Findings.open(findings.folder)
    assert interrupted.finished("sweep") == [f"{key}" for key in range(11)]  # 9 before 10
    assert len(interrupted.read("sweep")) == 11  # readable before it is finished
    assert interrupted.tables() == ["sweep"]

    resumed = sweep(again(findings))
    assert computed == list(range(12))
    at_once = sweep(Findings.create(tmp_path / "at-once", CONFIG))
    pd.testing.assert_frame_equal(resumed, at_once)
    assert resumed["chunk"].tolist() == list(range(12))


def test_a_chunk_that_fails_is_not_finished(findings: Findings) -> None:
    with pytest.raises(ZeroDivisionError):
        findings.chunk("sweep", "0", lambda: pd.DataFrame({"effect": [1 / 0]}))
    assert findings.finished("sweep") == []


def test_another_run_is_not_written_over(findings: Findings) -> None:
    with pytest.raises(FileExistsError, match=r"another run \(its pairs differ\); .*--out$"):
        again(findings, resume=False, pairs=9)
    with pytest.raises(FileExistsError, match=r"this run already; .*--out, or .*--resume"):
        again(findings, resume=False)
    with pytest.raises(ValueError, match=r"--resume needs .* but extra, pairs differ.*--out"):
        again(findings, pairs=9, extra=None)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("config.yaml", b"", "config.yaml holds 'None', expected values by name;"),
        ("config.yaml", b"a: [", "config.yaml cannot be read"),
        ("meta.json", b"{", "meta.json cannot be read"),
        ("meta.json", b"[" * 90_000, "meta.json cannot be read"),
        ("meta.json", b'{"versions": {"\\ud800": 1}}', "meta.json cannot be read"),
        ("meta.json", b'{"versions": {"\xed\xa0\x80": 1}}', "meta.json cannot be read"),
        ("config.yaml", b'pairs: "\\ud800"', "config.yaml cannot be read"),
        ("meta.json", b"{}", "meta.json holds '{}', expected values by name, with versions;"),
    ],
)
def test_a_file_that_its_journal_vouches_for_and_that_holds_something_else_is_refused(
    findings: Findings, name: str, content: bytes, error: str
) -> None:
    write_checked(findings.folder / name, content)
    with pytest.raises(ValueError, match=re.escape(error)) as refused:
        again(findings)
    assert "--out" in str(refused.value)


def test_a_run_resumes_only_on_the_same_checkpoint_and_collection(findings: Findings) -> None:
    with pytest.raises(ValueError, match=r"but digest differ"):
        Findings.create(
            findings.folder, CONFIG, provenance={**ORIGIN, "digest": "ef56"}, resume=True
        )
    assert again(findings).meta == findings.meta  # control


def test_another_version_is_noted(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "resumed_with" not in again(findings).meta
    monkeypatch.setattr(versions.platform, "python_version", lambda: "3.99.0")
    assert again(findings).meta["resumed_with"]["python"] == "3.99.0"
    assert findings.meta["versions"]["python"] == platform.__dict__["sys"].version.split()[0]


def test_resuming_nothing_begins(tmp_path: Path) -> None:
    assert Findings.create(tmp_path / "new", CONFIG, resume=True).config["pairs"] == 8


def test_a_run_that_failed_to_begin_may_begin_again(tmp_path: Path) -> None:
    write_checked(tmp_path / "meta.json", b"{}")  # but the disk was full for config.yaml
    assert Findings.create(tmp_path, CONFIG).config["pairs"] == 8


def test_somebody_elses_file_of_our_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"files that are no run \(meta.json\)"):
        Findings.create(tmp_path, CONFIG)
    assert (tmp_path / "meta.json").read_text() == "{}"


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"files that are no run \(thesis.tex\); .*--out"):
            Findings.create(tmp_path, CONFIG, resume=resume)
    with pytest.raises(FileExistsError, match="is a file; name a folder"):
        Findings.create(tmp_path / "thesis.tex", CONFIG)
    with pytest.raises(FileNotFoundError, match="holds no run: it has no config.yaml"):
        Findings.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("value", [Path("x"), torch.ones(1), float("nan")])
def test_a_value_that_no_file_can_hold_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="config 'model' is .* which no file can hold"):
        Findings.create(tmp_path / "run", {"model": value})
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_named_with_what_is(findings: Findings) -> None:
    findings.table("effects", TABLE)
    findings.tensors("cache", {"z": torch.ones(1)})
    with pytest.raises(FileNotFoundError, match=r"no table 'flows'; it has effects"):
        findings.read("flows")
    with pytest.raises(FileNotFoundError, match=r"no tensors 'caches'; it has cache"):
        findings.read_tensors("caches")
    with pytest.raises(ValueError, match="cannot name a file"):
        findings.table("a/b", TABLE)


def test_a_damaged_table_is_named(findings: Findings) -> None:
    path = findings.table("effects", TABLE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"effects.parquet is damaged .*--resume"):
        findings.read("effects")


def test_a_run_that_has_lost_its_question_is_named(findings: Findings) -> None:
    findings.table("effects", TABLE)
    (findings.folder / "config.yaml").unlink()
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"config.yaml is gone.*put back a copy"):
            Findings.create(findings.folder, CONFIG, resume=resume)


def test_a_run_whose_folder_is_lost_is_not_made_again(findings: Findings) -> None:
    findings.chunk("effects", "0", lambda: TABLE)
    shutil.rmtree(findings.folder)
    for write in (
        lambda: findings.chunk("effects", "1", lambda: TABLE),
        lambda: findings.table("effects", TABLE),
    ):
        with pytest.raises(FileNotFoundError, match=r"is lost.*--resume"):
            write()
    assert not findings.folder.exists()
