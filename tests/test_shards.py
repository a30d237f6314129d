"""However many processes share a run, its tables are those of one."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from command_line import crosslens
from crosslens.analyses.catalogue import catalogue
from parts_of_runs import COMMAND, CONFIG, N_PARTS, ORIGIN, part, share, table
from saved import save
from short_texts import short_texts
from tiny import tiny
from trec_files import write_trec

from crosslens import Findings
from crosslens.shards import Shard, shard_named, ShareDone


SMALL = "planted:bm25?layers=3&heads=3&decoys=1&busy"

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    table(Findings.create(out, CONFIG, provenance=ORIGIN))
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_the_table_of_n_shards_is_that_of_one_process(n, alone, tmp_path):
    every: list[int] = []
    for i in reversed(range(1, n + 1)):
        own: list[int] = []
        with pytest.raises(ShareDone):
            table(share(tmp_path, f"{i}/{n}"), own)
        assert own == [*range(N_PARTS)][i - 1 :: n]
        every += own
    assert sorted(every) == [*range(N_PARTS)]
    merged: list[int] = []
    table(share(tmp_path, f"merge/{n}"), merged)
    assert not merged, "a merge computes no part"
    assert (tmp_path / "t.parquet").read_bytes() == (alone / "t.parquet").read_bytes()
    shutil.rmtree(tmp_path / "shards")
    assert len(Findings.open(tmp_path).finished("t")) == N_PARTS, "the merged run needs no shard"


def test_processes_of_a_launcher_wait_for_each_other_and_the_first_makes_the_table(alone, tmp_path):
    ended = []

    def second():
        try:
            table(share(tmp_path, "2/2", waits=True))
        except ShareDone:
            ended.append(2)

    other = threading.Thread(target=second)
    other.start()
    table(share(tmp_path, "1/2", waits=True))
    other.join()
    assert ended == [2] and not (tmp_path / "shards" / "2-of-2" / "t.parquet").exists()
    assert (tmp_path / "t.parquet").read_bytes() == (alone / "t.parquet").read_bytes()


def two_stages(findings: Findings) -> None:
    """Parts that need the table of earlier ones."""
    early = {f"{i}": lambda i=i: {"a": part(i)} for i in range(3)}
    shift = pd.concat([each["a"] for each in findings.parts(["a"], early)])["value"].sum()
    later = {f"{i}": lambda i=i: {"b": part(i) + shift} for i in range(4)}
    found = pd.concat([each["b"] for each in findings.parts(["b"], later)])
    findings.conclude()
    findings.table("b-all", found)


def test_parts_that_need_earlier_ones_take_a_second_round(tmp_path):
    two_stages(Findings.create(tmp_path / "one", CONFIG, provenance=ORIGIN))
    out = tmp_path / "two"
    for time in (1, 2):
        for i in (2, 1):
            with pytest.raises(ShareDone):
                two_stages(share(out, f"{i}/2"))
        Findings.open(out / "shards" / "1-of-2").note(commands=[COMMAND])
        if time == 1:
            with pytest.raises(FileNotFoundError, match="shard 2/2 lacks 2 of its 2 parts of b"):
                two_stages(share(out, "merge/2"))
    two_stages(share(out, "merge/2"))
    same = [(each / "b-all.parquet").read_bytes() for each in (tmp_path / "one", out)]
    assert same[0] == same[1]


def test_a_missing_shard_is_named_with_its_command(tmp_path):
    for i in (1, 3):
        with pytest.raises(ShareDone):
            table(share(tmp_path, f"{i}/3"))
    Findings.open(tmp_path / "shards" / "1-of-3").note(commands=[COMMAND])
    with pytest.raises(FileNotFoundError, match=r"shard 2/3 lacks 2 of its 2 parts") as error:
        table(share(tmp_path, "merge/3"))
    assert "crosslens analyse NAME --out OUT --shard 2/3 --resume" in str(error.value)
    assert "1/3" not in str(error.value) and not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(
    ("config", "origin", "name"),
    [({"seed": 1}, ORIGIN, "seed"), (CONFIG, {"weights": "cd34"}, "weights")],
)
def test_shards_of_another_question_or_model_are_not_merged(config, origin, name, tmp_path):
    for i, asked, of in ((1, CONFIG, ORIGIN), (2, config, origin)):
        made = Findings.create(tmp_path / "shards" / f"{i}-of-2", asked, provenance=of)
        list(made.parts(["t"], {"0": lambda: {"t": part(0)}}))
        del made
    with pytest.raises(ValueError, match=rf"2-of-2 is no part of this run: its {name} differ"):
        share(tmp_path, "merge/2")


def test_a_shard_of_another_question_leaves_nothing_in_the_way_of_the_right_one(alone, tmp_path):
    def asked(text, config=CONFIG):
        return share(tmp_path, text, config, resume=False)

    with pytest.raises(ShareDone):
        table(asked("1/2"))
    with pytest.raises(ValueError, match=r"1-of-2 is no part of this run: its seed differ"):
        asked("2/2", {"seed": 1})
    with pytest.raises(ShareDone):
        table(asked("2/2"))
    table(asked("merge/2"))
    assert (tmp_path / "t.parquet").read_bytes() == (alone / "t.parquet").read_bytes()


def test_a_damaged_part_is_not_merged(tmp_path):
    with pytest.raises(ShareDone):
        table(share(tmp_path, "1/2"))
    with pytest.raises(ShareDone):
        table(share(tmp_path, "2/2"))
    (broken,) = tmp_path.glob("shards/2-of-2/chunks/t/1.parquet")
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"1\.parquet is damaged"):
        table(share(tmp_path, "merge/2"))


def test_killed_at_any_moment_a_shard_loses_the_part_in_hand_at_most(alone, tmp_path):
    code = f"""
import os, random, signal, sys, time
from pathlib import Path
from crosslens.shards import ShareDone
from parts_of_runs import part, share, table

def slow(i):
    time.sleep(0.02)
    return part(i)

place, kept = Path({str(tmp_path)!r}), 0
random.seed(3)

def finished():
    return len([*place.glob("shards/1-of-1/chunks/t/*.parquet")])

for attempt in range(10):
    child = os.fork()
    if not child:
        table(share(place, "1/1", waits=False), part=slow)
    # at first at any moment, then somewhere in the part that follows the next one
    while attempt > 3 and finished() <= min(kept, 5) and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.2 if attempt < 3 else 0.03))
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it came to its end
    assert finished() >= kept
    kept = finished()
assert kept, "no attempt came to a part"
try:
    table(share(place, "1/1"), part=slow)
except ShareDone:
    pass
table(share(place, "merge/1"))
"""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path]))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert (tmp_path / "t.parquet").read_bytes() == (alone / "t.parquet").read_bytes()


ARRAY = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_MIN": "3",
    "SLURM_ARRAY_TASK_MAX": "9",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_STEP": "2",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
SRUN = {"SLURM_PROCID": "0", "SLURM_NTASKS": "3", "SLURM_STEP_ID": "0"}
KUBERNETES = {"JOB_COMPLETION_INDEX": "5"}


@pytest.mark.parametrize(
    ("text", "environment", "found"),
    [
        (None, {}, None),
        (None, ARRAY, None),  # an array may be one over models
        (None, TORCHRUN, Shard(2, 4, waits=True)),
        (None, {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
        ("2/4", {}, Shard(2, 4)),
        ("1/1", TORCHRUN, None),
        ("env", ARRAY, Shard(3, 4)),
        ("env/4", ARRAY, Shard(3, 4)),
        ("env", TORCHRUN, Shard(2, 4, waits=True)),
        ("env", SRUN, Shard(1, 3, waits=True)),
        ("env/8", KUBERNETES, Shard(6, 8)),
    ],
)
def test_a_shard_is_named_or_read_from_the_environment(text, environment, found):
    assert shard_named(text, environment) == found


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("5/4", {}, "shard 5/4 does not exist"),
        ("0/4", {}, "the first shard is 1/4"),
        ("1/0", {}, "does not exist"),
        ("half", {}, "expected i/n"),
        ("env", {}, "no shard"),
        ("env", KUBERNETES, "env/8"),
        ("env/4", {**KUBERNETES, "JOB_COMPLETION_INDEX": "4"}, "shard 5/4 does not exist"),
        ("env/3", ARRAY, "starts 4"),
        ("env", {**ARRAY, "SLURM_ARRAY_TASK_MAX": "11"}, "which parts are theirs"),
        ("env", {**ARRAY, **dict.fromkeys(("SLURM_ARRAY_TASK_COUNT",), "1")}, "which parts"),
        ("env", {**ARRAY, **SRUN}, "SLURM_ARRAY_TASK_ID and SLURM_PROCID"),
        ("env", {**ARRAY, "SLURM_ARRAY_TASK_ID": "x"}, "expected a number"),
        (None, {**TORCHRUN, "RANK": "-1"}, "RANK is '-1' in the environment"),
        ("env/4", {**KUBERNETES, "JOB_COMPLETION_INDEX": "-1"}, "expected a number"),
    ],
)
def test_what_names_no_shard_is_refused(text, environment, said):
    with pytest.raises(ValueError, match=said):
        shard_named(text, environment)


def ask(monkeypatch, *words: str):
    """A command, which notes itself in its run."""
    monkeypatch.setattr(sys, "argv", ["crosslens", *words])
    return crosslens(*words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A little collection in the style of TREC."""
    return write_trec(tmp_path_factory.mktemp("collection"), short_texts(6, 5))


def test_merged_commands_make_the_files_of_one_process(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("crosslens.analyses.signal_patching.AT_ONCE", 1)
    one, two = tmp_path / "one", tmp_path / "two"
    asked = [
        "analyse",
        "signal_patching",
        SMALL,
        "--collection",
        str(folder),
        "--pairs",
        "2",
        "--out",
    ]
    assert ask(monkeypatch, *asked, str(one)).exit_code == 0
    assert ask(monkeypatch, *asked, str(two), "--shard", "2/2").exit_code == 0
    missing = ask(monkeypatch, "merge", str(two))
    assert missing.exit_code == 2 and "--shard 1/2 --resume" in missing.stderr
    assert ask(monkeypatch, *asked, str(two), "--shard", "1/2").exit_code == 0
    other = ask(monkeypatch, *asked, str(two), "--shard", "1/2", "--seed", "4", "--resume")
    assert other.exit_code == 2 and "seed differ" in other.stderr
    merged = ask(monkeypatch, "merge", str(two))
    assert merged.exit_code == 0, merged.output
    tables = [path.name for path in one.glob("*.parquet")]
    assert len(tables) == 3
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in tables)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("term_frequency", "--pairs 2"),
        ("hidden_periods", "--pairs 20"),
        ("scoring_heads", "--pairs 15 --depth 5 --epochs 1 --folds 3"),
        ("fine_tuning", "--queries 6 --documents 3 --epochs 1 --seeds 1"),
    ],
)
def test_analyses_compute_every_part_once_and_merge_to_the_same_tables(
    name, options, folder, tmp_path, monkeypatch
):
    one, two = tmp_path / "one", tmp_path / "two"
    asked = ["analyse", name, SMALL, "--collection", str(folder), *options.split(), "--out"]
    assert ask(monkeypatch, *asked, str(one)).exit_code == 0
    for i in (1, 2):
        assert ask(monkeypatch, *asked, str(two), "--shard", f"{i}/2").exit_code == 0
    chunks = [
        {path.name for path in two.glob(f"shards/{i}-of-2/chunks/*/*.parquet")} for i in (1, 2)
    ]
    assert all(chunks) and not chunks[0] & chunks[1], "shares of both, and none of them twice"
    assert ask(monkeypatch, "merge", str(two)).exit_code == 0
    tables = [path.name for path in one.glob("*.parquet")]
    assert tables
    for each in tables:
        assert (one / each).read_bytes() == (two / each).read_bytes(), each


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    """A random encoder of sentences, as files."""
    original, tokenizer = tiny("bert")
    made = tmp_path_factory.mktemp("encoder")
    original.bert.save_pretrained(made)  # sentence-transformers takes the mean of its tokens
    tokenizer.save_pretrained(made)
    return str(made)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    """A random cross-encoder, as files."""
    return str(save(tmp_path_factory.mktemp("classifier"), *tiny("bert")))


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory) -> list[Path]:
    made = [tmp_path_factory.mktemp(f"collection{i}") for i in range(2)]
    return [write_trec(each, short_texts(8, 5, seed=seed)) for seed, each in enumerate(made)]


@pytest.mark.parametrize(
    ("name", "n", "stages"),
    [
        ("neuron_overlap", 3, 1),
        ("neuron_words", 2, 2),
        ("neuron_ablation", 3, 2),
        ("semantic_similarity", 2, 1),
    ],
)
def test_every_shard_runs_once_for_each_stage_however_many_collections(
    name, n, stages, two_folders, encoder, classifier, tmp_path, monkeypatch
):
    one, two = tmp_path / "one", tmp_path / "two"
    # both classes are needed, which a random model may not give
    asked = ["analyse", name, "embedded" if name == "neuron_overlap" else classifier]
    if name == "semantic_similarity":
        asked += ["--pairs", "8", "--collection", str(two_folders[0]), "--encoder", encoder]
    else:
        for each in two_folders:
            asked += ["--collection", str(each)]
        asked += ["--pairs", "4", "--steps", "2", "--tokens", "16"]
    if name == "neuron_ablation":
        asked += ["--shares", "1", "--queries", "2", "--others", "2"]
    result = ask(monkeypatch, *asked, "--out", str(one))
    assert result.exit_code == 0, result.output
    for _ in range(stages):
        assert ask(monkeypatch, "merge", str(two)).exit_code == 2
        for i in range(1, n + 1):
            shard = ["--out", str(two), "--shard", f"{i}/{n}", "--resume"]
            assert ask(monkeypatch, *asked, *shard).exit_code == 0
    merged = ask(monkeypatch, "merge", str(two))
    assert merged.exit_code == 0, merged.output
    tables = [path.name for path in one.glob("*.parquet")]
    assert all(len(pd.read_parquet(one / each)) for each in tables if each != "omitted.parquet")
    for each in tables:
        assert (one / each).read_bytes() == (two / each).read_bytes(), each


def test_a_merged_ranking_is_that_of_one_process(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", 12)
    one, two = tmp_path / "one.run", tmp_path / "two.run"
    asked = ["rerank", "--model", SMALL, "--collection", str(folder), "--out"]
    assert ask(monkeypatch, *asked, str(one)).exit_code == 0
    for i in (1, 2):
        result = ask(monkeypatch, *asked, str(two), "--shard", f"{i}/2")
        assert result.exit_code == 0 and f"crosslens merge {two}" in result.stdout
        assert not two.exists()
    assert ask(monkeypatch, "merge", str(two)).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    nowhere = ask(monkeypatch, "rerank", "--model", SMALL, "--shard", "1/2")
    assert nowhere.exit_code == 2 and "--out FILE" in nowhere.stderr


def test_shards_whose_commands_end_their_options_are_merged(folder, tmp_path, monkeypatch):
    two = tmp_path / "two"
    asked = ["analyse", "term_frequency", "--collection", str(folder), "--pairs", "2", "--out"]
    for i in (1, 2):
        if i == 2:
            missing = ask(monkeypatch, "merge", str(two))
            assert f"--shard 2/2 --resume -- '{SMALL}'" in missing.stderr
        done = ask(monkeypatch, *asked, str(two), "--shard", f"{i}/2", "--", SMALL)
        assert done.exit_code == 0, done.output
    merged = ask(monkeypatch, "merge", str(two))
    assert merged.exit_code == 0, merged.output


@pytest.mark.parametrize(
    "words", [["report"], ["circuits", "test", "all"], ["reproduce", "zhan2020"]]
)
def test_what_is_not_split_refuses_a_launcher_by_name(words, tmp_path, monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    result = ask(monkeypatch, *words, SMALL, "--out", str(tmp_path / "run"))
    assert result.exit_code == 2 and "is not split over processes" in result.stderr
    assert f"crosslens {words[0]}" in result.stderr and not (tmp_path / "run").exists()


def test_an_analysis_in_one_piece_refuses_by_name(tmp_path, monkeypatch):
    whole = next(name for name, each in catalogue().items() if not each.is_split)
    result = ask(monkeypatch, "analyse", whole, "--out", str(tmp_path / "r"), "--shard", "1/2")
    assert result.exit_code == 2 and f"crosslens analyse {whole} is not split" in result.stderr
