"""A run split over processes: each computes some parts of its tables, one puts them together.

The parts of a run are the same however many processes there are; the i-th of n computes parts i,
i + n, and so on. Each writes into a folder of its own, with its own lock:

    OUT/shards/2-of-4    the run of the second of four: config, provenance, its chunks

The tables are made in OUT by one process that reads all parts: by `crosslens merge OUT` when all
have ended, or by the first process of a launcher that starts all at once, where each waits for
the parts of the others. What one process computes alone and what n compute is the same, because
both read the same parts. No process sends another anything: they share a folder.
"""

import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd

from .findings import CHUNKS, CONFIG, Findings, Part, read_parquet, SHARDS
from .plain_data import differences, plain
from .writing import file_name, read_checked


MERGES: Final = "merge"  # the place of the process that computes no part
POLL: Final = 0.5  # seconds between two looks at the folders of other processes


@dataclass(frozen=True)
class Shard:
    """Which of how many processes this is, from 1; 0 is the one that merges what others left."""

    index: int
    count: int
    waits: bool = False  # all run at once, and the first makes the tables

    def __post_init__(self) -> None:
        if not (self.count >= 1 and 0 <= self.index <= self.count):
            raise ValueError(
                f"shard {self} does not exist; name 1/{max(1, self.count)} to "
                f"{max(1, self.count)}/{max(1, self.count)}"
            )

    def __str__(self) -> str:
        return f"{self.index or MERGES}/{self.count}"

    @property
    def is_lead(self) -> bool:
        """Whether this process makes the tables."""
        return self.index == 0 or (self.waits and self.index == 1)

    def owner(self, place: int) -> int:
        """The number of the process that computes the part at `place`, counted from 0."""
        return place % self.count + 1

    def folder(self, out: Path, index: int | None = None) -> Path:
        """The folder of a process of the run in `out`; by default of this one."""
        one = self.index if index is None else index
        is_lead = replace(self, index=one).is_lead
        return out if is_lead else out / SHARDS / f"{one}-of-{self.count}"


def shard_named(text: str | None, environment: Mapping[str, str]) -> Shard | None:
    """The shard that `--shard` names, or that the launcher does; none of one process.

    `i/n` is the i-th of n. `env` reads the variables of torchrun, SLURM or a Kubernetes indexed
    job; `env/n` names n, which Kubernetes tells nobody. Without an option those of torchrun and
    accelerate are read, which start the same command several times for no other reason.

    Raises:
        ValueError: no shard is named so; the environment has none, or not one only.
    """
    if text is None:
        found = of_torchrun(environment)
        return found if found is not None and found.count > 1 else None
    place, slash, count = text.partition("/")
    if place == "env" and (not slash or count.isdecimal()):
        found = of_environment(environment, int(count) if slash else None)
        if slash and found.count != int(count):
            raise ValueError(f"--shard is {text!r}, but the environment starts {found.count}")
    elif re.fullmatch(rf"({MERGES}|\d+)/\d+", text):
        found = Shard(0 if place == MERGES else int(place), int(count))
        if place == "0":
            raise ValueError(f"--shard is {text!r}; the first shard is 1/{count}")
    else:
        raise ValueError(f"--shard is {text!r}; expected i/n, as in 2/4, or env, or env/n")
    return found if found.count > 1 or found.index == 0 else None


def of_torchrun(environment: Mapping[str, str]) -> Shard | None:
    """The rank, where torchrun or accelerate started this process."""
    names = {"RANK", "WORLD_SIZE", "LOCAL_RANK"}
    if not names <= environment.keys():
        return None
    rank, world = (_number(environment, name) for name in ("RANK", "WORLD_SIZE"))
    return Shard(rank + 1, world, waits=True)


def of_environment(environment: Mapping[str, str], count: int | None) -> Shard:
    """The shard that the environment names: by torchrun, SLURM or Kubernetes.

    Raises:
        ValueError: it names none, or two; an array with gaps; a job of which `count` is needed.
    """
    found: dict[str, Shard] = {}
    if (one := of_torchrun(environment)) is not None:
        return one
    if "SLURM_ARRAY_TASK_ID" in environment:
        found["SLURM_ARRAY_TASK_ID"] = of_slurm_array(environment)
    if (
        _number(environment, "SLURM_NTASKS", 1) > 1
        and "SLURM_PROCID" in environment
        and "SLURM_STEP_ID" in environment  # within srun, not in the script of sbatch
    ):
        found["SLURM_PROCID"] = Shard(
            _number(environment, "SLURM_PROCID") + 1,
            _number(environment, "SLURM_NTASKS"),
            waits=True,
        )
    if "JOB_COMPLETION_INDEX" in environment:
        index = _number(environment, "JOB_COMPLETION_INDEX")
        if count is None:
            raise ValueError(
                "--shard is env, and JOB_COMPLETION_INDEX says nothing of how many there are; "
                "name the job's completions, as in env/8"
            )
        found["JOB_COMPLETION_INDEX"] = Shard(index + 1, count)
    if len(found) != 1:
        raise ValueError(
            f"--shard is env, and the environment has {' and '.join(found) or 'no'} shard: "
            "expected one of RANK (torchrun), SLURM_ARRAY_TASK_ID, SLURM_PROCID (srun) or "
            "JOB_COMPLETION_INDEX; name the shard, as in 2/4"
        )
    return next(iter(found.values()))


def of_slurm_array(environment: Mapping[str, str]) -> Shard:
    """The place of a task in its array."""
    task, first, last, count = (
        _number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT")
    )
    step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
    if count == 1 or first + (count - 1) * step != last:
        raise ValueError(
            f"the SLURM array has {count} tasks from {first} to {last} by {step}: which parts are "
            "theirs? Name the shard, as in 2/4, where some tasks of an array run again"
        )
    return Shard((task - first) // step + 1, count)


def is_restarted(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started this process again after it, or another, had died."""
    names = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(_number(environment, name, 0) > 0 for name in names)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, default)
    try:
        found = int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = -1  # a rank of -1 would be the place of the process that merges
    if found < 0:
        raise ValueError(f"{name} is {text!r} in the environment; expected a number")
    return found


def unsharded(command: str) -> list[str]:
    """The words of a command without what a single shard or a resumed one adds to it."""
    words = iter(shlex.split(command))
    kept = []
    for word in words:
        if word == "--shard":
            next(words, None)
        elif not word.startswith("--shard=") and word != "--resume":
            kept.append(word)
    return kept


def with_options(words: Sequence[str], *options: str) -> list[str]:
    """The words of a command with `options` too, which stand before a `--` if there is one."""
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *options, *words[end:]]


class ShareDone(Exception):
    """This process has nothing more to do: its parts are finished, others make the tables."""


@dataclass(frozen=True)
class Share(Findings):
    """The run of one process: its own parts are computed, those of others read where they are."""

    out: Path = Path()
    shard: Shard = Shard(1, 1)
    asked: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""  # with which another shard is run

    @classmethod
    def of(
        cls,
        out: Path,
        shard: Shard,
        config: Mapping[str, Any],
        *,
        provenance: Mapping[str, Any],
        resume: bool,
        command: str,
    ) -> "Share":
        """The share of one process of the run in `out`, new or with `resume` gone on with.

        Raises:
            FileExistsError, ValueError: as `Findings.create`; or what stands in `out`, or is to
                be merged, was asked something else, of another model or of other texts.
            FileNotFoundError: nothing to merge.
        """
        asked, origin = plain(config, "config"), plain(provenance, "provenance")
        share = cls(shard.folder(out), None, out, shard, asked, origin, command)
        if not shard.waits:  # what a former launch left is checked when its process has begun
            for place in share.places.values():
                if place != share.folder:
                    share.require_same(place)
        # after that: a share that is refused leaves no folder that would be another run for ever
        made = Findings.create(share.folder, config, provenance=provenance, resume=resume)
        return replace(share, _lock=made._lock)

    @cached_property
    def places(self) -> dict[int, Path]:
        """The folders of all processes, by number; under 0 that of the tables."""
        every = {i: self.shard.folder(self.out, i) for i in range(1, self.shard.count + 1)}
        return {0: self.out, **every}

    def require_same(self, place: Path) -> bool:
        """Whether there is a run in `place`.

        Raises:
            ValueError: it was asked something else.
        """
        if not (place / CONFIG).is_file():
            return False
        other = Findings.open(place)
        known = other.meta
        changed = differences(other.config, self.asked) or differences(
            {key: known[key] for key in self.origin if key in known}, self.origin
        )
        if changed:
            raise ValueError(
                f"{place} is no part of this run: its {changed} differ; ask it the same, or "
                "delete that folder and run its shard again"
            )
        return True

    def parts(
        self,
        tables: Sequence[str],
        computes: Mapping[str, Part],
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[dict[str, pd.DataFrame]]:
        """First the parts of this process are computed; then all come, in order.

        Raises:
            ShareDone: the others are not there yet, and this process does not wait for them.
            FileNotFoundError: parts to be merged are missing; names the shards.
        """
        owners = {key: self.shard.owner(place) for place, key in enumerate(computes)}
        own = [key for key, owner in owners.items() if owner == self.shard.index]
        total = len(self.shown(computes))
        for done, key in enumerate(own):
            watch(done, total)
            if not self._has(tables, key, owners[key]):
                for _ in super().parts(tables, {key: computes[key]}):
                    pass
        if self.shard.index == 0:
            self._require(tables, owners)
        for done, (key, owner) in enumerate(owners.items()):
            while not self._has(tables, key, owner):
                if not self.shard.waits:
                    watch(len(own), len(own))
                    raise ShareDone
                time.sleep(POLL)
            watch(min(max(done, len(own)), total), total)
            yield {table: self._read(table, key, owner) for table in tables}
        watch(total, total)

    def shown(self, keys: Iterable[str]) -> list[str]:
        """All parts, where this process waits for them; else its own."""
        i = self.shard.index
        every = list(keys)
        return every if self.shard.waits or i == 0 else every[i - 1 :: self.shard.count]

    def chunk(self, name: str, key: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What is not split is computed by every process, unless another has it already."""
        for i, place in self.places.items():
            if self._is_there(place, name, key):
                return self._read(name, key, i)
        return super().chunk(name, key, compute)

    def conclude(self) -> None:
        """Ends this process, if another makes the tables."""
        if not self.shard.is_lead:
            raise ShareDone

    def how_to_run(self, index: int) -> str:
        """The command of another shard."""
        command = self.command
        if self.shard.index == 0:  # which is `crosslens merge`
            runs = (place for place in self.places.values() if place != self.out)
            made = next(place for place in runs if (place / CONFIG).is_file())
            command = Findings.open(made).meta["commands"][-1]
        part = f"{index}/{self.shard.count}"
        return shlex.join(with_options(unsharded(command), "--shard", part, "--resume"))

    def _has(self, tables: Sequence[str], key: str, owner: int) -> bool:
        """Whether a part is finished, by its owner or by a former run of one process."""
        return all(
            any(self._is_there(self.places[i], table, key) for i in {0, owner}) for table in tables
        )

    def _is_there(self, place: Path, table: str, key: str) -> bool:
        return (place / CHUNKS / file_name(table) / f"{file_name(key)}.parquet").is_file()

    def _read(self, table: str, key: str, owner: int) -> pd.DataFrame:
        """A finished part; the process that makes the tables keeps a copy in its own folder."""
        i = 0 if self._is_there(self.out, table, key) else owner
        place = self.places[i]
        if place != self.folder:
            self._same(i)
        path = place / CHUNKS / table / f"{key}.parquet"
        if self.shard.is_lead and place != self.folder:
            content = read_checked(path, "delete it and run its shard again")
            self._write(f"{CHUNKS}/{table}/{key}.parquet", content)
            path = self.folder / CHUNKS / table / path.name
        return read_parquet(path)

    def _same(self, i: int) -> None:
        if i not in self._checked:
            self.require_same(self.places[i])
            self._checked.add(i)

    @cached_property
    def _checked(self) -> set[int]:
        return set()

    def _require(self, tables: Sequence[str], owners: Mapping[str, int]) -> None:
        """All parts, or the names of the shards that did not finish theirs."""
        missing: dict[int, int] = {}
        for key, owner in owners.items():
            if not self._has(tables, key, owner):
                missing[owner] = missing.get(owner, 0) + 1
        if missing:
            n = {i: sum(owner == i for owner in owners.values()) for i in missing}
            each = "; ".join(
                f"shard {i}/{self.shard.count} lacks {missing[i]} of its {n[i]} parts of "
                f"{', '.join(tables)}: {self.how_to_run(i)}"
                for i in sorted(missing)
            )
            raise FileNotFoundError(f"{self.out} cannot be merged yet: {each}")
