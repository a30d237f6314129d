"""Some inputs of each part, in seconds; `python -m tests.fuzz --inputs 100000` takes more."""

import pytest
from hypothesis import strategies as st

from fuzz.__main__ import fuzz, main, run_once, SHARES
from fuzz.outcome import Fault, Outcomes


SOME = {"texts": 40, "checkpoints": 2}


@pytest.mark.parametrize("name", SHARES)
def test_every_input_is_read_or_refused_by_name(name, monkeypatch):
    monkeypatch.setitem(SHARES, name, 1.0)
    wanted = SOME.get(name, 60)
    outcomes = fuzz(wanted, name, seed=1)
    assert outcomes.inputs >= wanted and outcomes.counts["read"]


def test_a_crash_a_nameless_refusal_and_a_loss_are_faults(capsys, monkeypatch):
    def crash():
        return [][0]

    def refuse():
        raise ValueError("no file is named")

    with pytest.raises(Fault, match="IndexError"):
        Outcomes().of(crash)
    with pytest.raises(Fault):
        Outcomes().of(refuse)  # not by an error of CrossLens

    def losing(drawn, outcomes):
        if len(drawn) > 3:
            raise Fault("a record is lost")

    with pytest.raises(Fault, match="a record is lost") as fault:
        run_once(st.lists(st.integers()), losing, Outcomes(), n=200, seed=0)
    assert "drawn=[0, 0, 0, 0]" in "".join(fault.value.__notes__)  # the smallest there is

    def failing(inputs, name, *, seed):
        raise Fault("a record is lost")

    monkeypatch.setattr("fuzz.__main__.fuzz", failing)
    assert main(["runs", "trec"]) == 1 and "2 faults" in capsys.readouterr().out


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["txets"])
    assert "no part is called txets; there are texts" in capsys.readouterr().err
