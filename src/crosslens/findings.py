"""A run is a folder: what was asked, with which versions, and every number that was found.

    config.yaml           the question, as asked
    meta.json             versions, seed, checkpoint and its hash, collection digest, truncations
    *.parquet, *.json     tables, one row per pair and unit
    *.safetensors         tensors
    chunks/NAME/*.parquet finished parts of a table, so that a run can be resumed
    shards/I-of-N         runs of single processes, of a run that is split; see `crosslens.shards`
    checksums.sha256      of every file, in each folder; what is read is what was written

Every file appears whole or not at all, so that an interruption loses only the chunk in hand. One
process at a time creates or resumes a run, and keeps its lock as long as the `Findings` lives;
any other may `open` it. The lock of a process that has ended is none.
"""

import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
import yaml
from filelock import BaseFileLock, FileLock, Timeout
from safetensors.torch import load, save
from torch import Tensor

from .plain_data import as_json, differences, plain
from .versions import versions
from .writing import (
    CHECKSUMS,
    checksums,
    Damaged,
    damaged,
    file_name,
    read_checked,
    remove_unfinished,
    UNFINISHED,
    write_checked,
    write_whole,
)


CONFIG: Final = "config.yaml"
META: Final = "meta.json"
CHUNKS: Final = "chunks"
SHARDS: Final = "shards"
LOCK: Final = ".lock"
HOLDER: Final = ".lock-holder"  # who holds the lock
AGAIN: Final = "delete it and go on with --resume"
ELSEWHERE: Final = "put back a copy of it, or begin a new run in another folder with --out"
NUMBER: Final = re.compile(r"(\d+)")
Part = Callable[[], Mapping[str, pd.DataFrame]]  # computes the rows of a part, by table


@dataclass(frozen=True)
class Findings:
    """The folder of one run; see `create` and `open`."""

    folder: Path
    _lock: BaseFileLock | None = field(default=None, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        config: Mapping[str, Any],
        *,
        provenance: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> "Findings":
        """A new run, or with `resume` the one that the folder holds, to be gone on with.

        Args:
            config: the question: everything the caller chose.
            provenance: what it was put to: checkpoint and its hash, collection digest, seed. Goes
                into meta.json beside the versions. A run resumes only on the same.

        Raises:
            FileExistsError: the folder holds a run, or other files, or another process is at it.
            ValueError: the run to resume has another config or another provenance.
            Damaged: its files are gone, or hold something else than was written.
            TypeError: a value that YAML or JSON cannot hold.
        """
        place = Path(folder)
        asked, origin = plain(config, "config"), plain(provenance or {}, "provenance")
        _make(place)
        if not (place / CONFIG).is_file() and (foreign := _foreign(place)):
            if CONFIG in checksums(place):
                raise Damaged(f"{place / CONFIG} is gone, which says what was asked; {ELSEWHERE}")
            raise FileExistsError(
                f"{place} holds files that are no run ({foreign}); name an empty or a new folder "
                "with --out"
            )
        findings = cls(place, _locked(place))
        remove_unfinished(place, but=SHARDS)
        if (place / CONFIG).is_file():
            findings._continue(asked, origin, resume)
        else:
            # config.yaml is written last: the folder is a run from then on
            findings._write(META, as_json({"versions": versions(), **origin}))
            findings._write(CONFIG, yaml.safe_dump(asked, sort_keys=False).encode())
        return findings

    @classmethod
    def open(cls, folder: str | Path) -> "Findings":
        """A run to read.

        Raises:
            FileNotFoundError: the folder holds none.
        """
        findings = cls(Path(folder))
        if not (findings.folder / CONFIG).is_file():
            raise FileNotFoundError(
                f"{folder} holds no run: it has no {CONFIG}. Name the folder given to --out"
            )
        return findings

    @property
    def config(self) -> dict[str, Any]:
        """The question, as it was asked."""
        return _parsed(self.folder / CONFIG, yaml.safe_load)

    @property
    def meta(self) -> dict[str, Any]:
        """Versions, provenance and whatever was noted since."""
        return _parsed(self.folder / META, json.loads, "versions")

    def note(self, **facts: Any) -> None:
        """Facts known only later, such as truncations or the time it took, added to meta.json."""
        self._write(META, as_json({**self.meta, **plain(facts, "note")}))

    def table(self, name: str, frame: pd.DataFrame, *, also_json: bool = False) -> Path:
        """A finished table, written as Parquet and on request as JSON records too."""
        if also_json:
            records = frame.reset_index() if frame.index.name else frame
            buffer = BytesIO()
            records.to_json(buffer, orient="records", double_precision=15)
            self._write(f"{file_name(name)}.json", buffer.getvalue())
        return self._write(f"{file_name(name)}.parquet", parquet(frame))

    def tensors(self, name: str, tensors: Mapping[str, Tensor]) -> Path:
        """Named tensors, written as safetensors."""
        # safetensors refuses views and tensors that share memory
        whole = {
            key: each.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, each in tensors.items()
        }
        return self._write(f"{file_name(name)}.safetensors", save(whole))

    def text(self, name: str, text: str) -> Path:
        """A text file of the given name, such as report.html."""
        return self._write(file_name(name), text.encode())

    def chunk(self, name: str, key: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """One part of table `name`: read if it is finished, else computed and kept.

        Rows and columns are those that `compute` gives.
        """
        place = f"{CHUNKS}/{file_name(name)}/{file_name(key)}.parquet"
        if not (self.folder / place).is_file():
            self._write(place, parquet(compute()))
        # read back even when just computed, so that a resumed run sees the very same frame
        return read_parquet(self.folder / place)

    def parts(
        self,
        tables: Sequence[str],
        computes: Mapping[str, Part],
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[dict[str, pd.DataFrame]]:
        """The parts of some tables, by key and in order: each is read if it is finished.

        Parts do not depend on each other, so that several processes may compute them
        (`crosslens.shards`). `watch(done, total)` is called as they are finished.
        """
        for done, (key, compute) in enumerate(computes.items()):
            watch(done, len(computes))
            once = cache(compute)
            yield {
                table: self.chunk(table, key, lambda once=once, table=table: once()[table])
                for table in tables
            }
        watch(len(computes), len(computes))

    def shown(self, keys: Iterable[str]) -> list[str]:
        """The parts that count in this process's progress, by key."""
        return list(keys)

    def conclude(self) -> None:
        """To be called when all parts are finished, before the tables are made of them."""

    def finished(self, name: str) -> list[str]:
        """The keys of the finished chunks of a table, in order: chunk 9 before chunk 10."""
        keys = (path.stem for path in (self.folder / CHUNKS / name).glob("*.parquet"))
        return sorted(keys, key=in_order)

    def gather(self, name: str, *, also_json: bool = False) -> pd.DataFrame:
        """The table of all finished chunks by order of key, written as a finished table.

        Rows follow each other as the chunks do; `also_json` writes them as JSON too.
        """
        self.table(name, self._gathered(name), also_json=also_json)
        return self.read(name)

    def read(self, name: str) -> pd.DataFrame:
        """A table; of one that was interrupted, its finished chunks.

        Rows and columns are those that were written.
        """
        path = self.folder / f"{name}.parquet"
        if path.is_file():
            return read_parquet(path)
        return self._gathered(name)

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors that `tensors` wrote under this name.

        Raises:
            FileNotFoundError: the run has none of that name.
        """
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} has no tensors {name!r}; it has {self._there('*.safetensors')}"
            )
        return load(read_checked(path, AGAIN))

    def tables(self) -> list[str]:
        """The names of the tables, finished or begun."""
        begun = (each.parent.name for each in self.folder.glob(f"{CHUNKS}/*/*.parquet"))
        return sorted({*(each.stem for each in self.folder.glob("*.parquet")), *begun})

    def lost(self) -> set[str]:
        """The files written in the folder itself that are gone by now, or hold something else."""
        return damaged(self.folder)

    def _gathered(self, name: str) -> pd.DataFrame:
        keys = self.finished(name)
        if not keys:
            raise FileNotFoundError(
                f"{self.folder} has no table {name!r}; it has {', '.join(self.tables()) or 'none'}"
            )
        place = self.folder / CHUNKS / name
        return pd.concat(
            [read_parquet(place / f"{key}.parquet") for key in keys], ignore_index=True
        )

    def _there(self, pattern: str) -> str:
        return ", ".join(sorted(each.stem for each in self.folder.glob(pattern))) or "none"

    def _continue(self, asked: dict[str, Any], origin: dict[str, Any], resume: bool) -> None:
        """Nothing, if the folder holds a run that may be gone on with; else an error."""
        changed = differences(self.config, asked)
        if not resume:
            which = f"another run (its {changed} differ)" if changed else "this run already"
            remedy = "" if changed else ", or finish it with --resume"
            raise FileExistsError(
                f"{self.folder} holds {which}; name another folder with --out{remedy}"
            )
        known = self.meta
        changed = changed or differences(
            {key: known[key] for key in origin if key in known}, origin
        )
        if changed:
            raise ValueError(
                f"--resume needs the run that {self.folder} holds, but {changed} differ; ask as "
                "before, or give another --out"
            )
        if known["versions"] != (now := versions()):
            self.note(resumed_with=now)

    def _write(self, name: str, content: bytes) -> Path:
        # a folder that is there no more must not be made again, as a run that asks nothing
        if name not in (CONFIG, META) and not (self.folder / CONFIG).is_file():
            raise FileNotFoundError(
                f"the folder {self.folder} of this run is lost: it has no {CONFIG} any more; bring "
                "it back and go on with --resume, or begin a new run with --out"
            )
        return write_checked(self.folder / name, content)


def in_order(key: str) -> list[tuple[int, str]]:
    """Sorts numbers in a key as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in NUMBER.split(key)]


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file of a run."""
    return pd.read_parquet(BytesIO(read_checked(path, AGAIN)))


def _parsed(path: Path, parse: Callable[[bytes], Any], *keys: str) -> dict[str, Any]:
    """What a file of a run holds: values by name, some of which are always there.

    Raises:
        Damaged: it holds anything else, whatever its checksum says.
    """
    content = read_checked(path, ELSEWHERE)
    try:
        found = parse(content)
        # half a character, which JSON and YAML can spell, could be written nowhere again
        json.dumps(found, ensure_ascii=False, skipkeys=True, default=str).encode()
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise Damaged(f"{path} cannot be read ({why}); {ELSEWHERE}") from None
    if not isinstance(found, dict) or not {*keys} <= found.keys():
        expected = f"values by name{', with ' if keys else ''}{', '.join(keys)}"
        raise Damaged(f"{path} holds {str(found)[:60]!r}, expected {expected}; {ELSEWHERE}")
    return found


def _make(folder: Path) -> None:
    """The folder, made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(each for each in (folder, *folder.parents) if each.is_file())
        raise FileExistsError(f"{file} is a file; name a folder with --out") from None
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot make the folder {folder}: {error.strerror}; name another with --out",
        ) from None


def _foreign(folder: Path) -> str:
    """A file that no run wrote there; nothing if there is none."""
    ours = {LOCK, HOLDER, SHARDS}
    if META in checksums(folder):
        ours |= {META, CHECKSUMS}
    names = sorted(each.name for each in folder.iterdir())
    cut = ours if META in ours else ours | _begun(folder)
    return next((each for each in names if each not in cut and not each.startswith(UNFINISHED)), "")


def _begun(folder: Path) -> set[str]:
    """A journal whose first line was being written when its process was killed."""
    journal = folder / CHECKSUMS
    return {CHECKSUMS} if journal.is_file() and b"\n" not in journal.read_bytes() else set()


def _locked(folder: Path) -> BaseFileLock:
    """The lock of a run, which goes when the value goes or the process ends.

    Raises:
        FileExistsError: another process has it; says which.
    """
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        try:
            holder = (folder / HOLDER).read_text(encoding="utf-8").strip()
        except OSError:
            holder = ""
        raise FileExistsError(
            f"{holder or 'another process'} is at work in {folder}; wait until it has ended, or "
            "name another folder with --out"
        ) from None
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot write in {folder}: {error.strerror}; name a folder that you may write to "
            "with --out",
        ) from None
    write_whole(folder / HOLDER, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return lock
