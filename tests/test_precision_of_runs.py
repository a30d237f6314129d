"""`--dtype`: every run says what its weights were, and how far its scores are from float32."""

import json

import pytest
import torch
from command_line import crosslens
from saved import save
from short_texts import short_texts
from tiny import tiny
from trec_files import write_trec

from crosslens import collection, Findings, load
from crosslens.cli import precision


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp("checkpoint"), *tiny("bert"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two queries with three documents each."""
    return write_trec(tmp_path_factory.mktemp("collection"), short_texts(2, 3))


def reranked(checkpoint, texts, out, *options):
    asked = ["--model", checkpoint, "--collection", texts, "--out", out]
    return crosslens("rerank", *asked, *options)


def meta(out):
    return Findings.open(out.with_name(f"{out.name}.parts")).meta


def test_a_run_in_16_bit_says_how_far_its_scores_are_from_float32(checkpoint, texts, tmp_path):
    done = reranked(checkpoint, texts, tmp_path / "half.run", "--dtype", "bf16")
    assert done.exit_code == 0, done.output
    found = meta(tmp_path / "half.run")
    assert found["dtype"] == "bfloat16"
    measured = found["difference_to_float32"]
    assert 0 < measured["mean"] <= measured["greatest"] < 0.1 and measured["pairs"] == 4
    assert f"bfloat16: over 4 pairs scores differ from float32 by {measured['mean']:.2g}" in (
        " ".join(done.output.split())
    )
    # the figure is the one that two loads give
    few = collection(str(texts))
    some = precision.some_texts([few])
    both = [precision.scores(load(checkpoint, dtype=name), some) for name in ("fp32", "bf16")]
    assert (both[0] - both[1]).abs().max().item() == pytest.approx(measured["greatest"])


def test_a_run_in_float32_says_so_and_loads_no_twin(checkpoint, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "float32_scores", None)  # calling it would be a fault
    done = reranked(checkpoint, texts, tmp_path / "whole.run")
    assert done.exit_code == 0, done.output
    found = meta(tmp_path / "whole.run")
    assert found["dtype"] == "float32" and "difference_to_float32" not in found


def test_a_run_is_not_gone_on_with_in_another_precision(checkpoint, texts, tmp_path):
    assert reranked(checkpoint, texts, tmp_path / "one.run", "--dtype", "bf16").exit_code == 0
    (tmp_path / "one.run").unlink()
    done = reranked(checkpoint, texts, tmp_path / "one.run", "--resume")
    assert done.exit_code == 2 and "dtype" in done.stderr and "differ" in done.stderr


def test_a_twin_that_does_not_fit_is_noted_and_the_run_goes_on(
    checkpoint, texts, tmp_path, monkeypatch
):
    def too_large(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(precision, "load", too_large)
    done = reranked(checkpoint, texts, tmp_path / "half.run", "--dtype", "bf16")
    assert done.exit_code == 0, done.output
    found = meta(tmp_path / "half.run")["difference_to_float32"]
    assert found == {"pairs": 0, "reason": precision.NOT_MEASURED}
    assert json.dumps(found) and "how far scores are from float32 is not known" in (
        " ".join(done.output.split())
    )


def test_a_twin_that_cannot_be_loaded_for_another_reason_is_an_error(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the logits differ")

    monkeypatch.setattr(precision, "load", broken)
    with pytest.raises(RuntimeError, match="the logits differ"):
        precision.float32_scores("model", None, [("a", "b")])


def test_a_model_in_memory_is_not_read_in_another_precision(texts, tmp_path):
    done = reranked("planted:bm25", texts, tmp_path / "planted.run", "--dtype", "bf16")
    assert done.exit_code == 2 and "leave dtype= out" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "command",
    ["report", "explain", "explore", "rerank", "circuits test", "analyse attention", "reproduce"],
)
def test_every_command_that_loads_a_model_takes_a_precision(command):
    done = crosslens(*command.split(), "--help", env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "--dtype" in done.output and "--device" in done.output
