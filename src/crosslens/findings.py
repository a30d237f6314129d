"""A run is a folder: what was asked, with which versions, and every number that was found.

    config.yaml           the question, as asked
    meta.json             versions, seed, checkpoint and its hash, collection digest, truncations
    *.parquet, *.json     tables, one row per pair and unit
    *.safetensors         tensors
    chunks/NAME/*.parquet finished parts of a table, so that a run can be resumed

Every file appears whole or not at all, so that an interruption loses only the chunk in hand. Of
several processes that share a folder one creates the run and the others open it.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
import yaml
from pyarrow import ArrowInvalid
from safetensors.torch import load_file, save
from torch import Tensor

from .provenance import as_json, differences, plain, versions
from .writing import file_name, sweep_up, write_whole


CONFIG: Final = "config.yaml"
META: Final = "meta.json"
CHUNKS: Final = "chunks"
NUMBER: Final = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Findings:
    """The folder of one run; see `create` and `open`."""

    folder: Path

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
            FileExistsError: the folder holds a run, or other files.
            ValueError: the run to resume has another config or another provenance.
            TypeError: a value that YAML or JSON cannot hold.
        """
        findings = cls(Path(folder))
        asked, origin = plain(config, "config"), plain(provenance or {}, "provenance")
        findings._make()
        if {each.name for each in findings.folder.iterdir()} - {META}:
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
        return yaml.safe_load((self.folder / CONFIG).read_text(encoding="utf-8"))

    @property
    def meta(self) -> dict[str, Any]:
        """Versions, provenance and whatever was noted since."""
        return json.loads((self.folder / META).read_text(encoding="utf-8"))

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
        """The tensors saved under `name`.

        Raises:
            FileNotFoundError: the run has none of that name.
        """
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} has no tensors {name!r}; it has {self._there('*.safetensors')}"
            )
        return load_file(path)

    def tables(self) -> list[str]:
        """The names of the tables, finished or begun."""
        begun = (each.parent.name for each in self.folder.glob(f"{CHUNKS}/*/*.parquet"))
        return sorted({*(each.stem for each in self.folder.glob("*.parquet")), *begun})

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

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise FileExistsError(f"{self.folder} is a file; name a folder with --out") from None

    def _continue(self, asked: dict[str, Any], origin: dict[str, Any], resume: bool) -> None:
        """Nothing, if the folder holds a run that may be gone on with; else an error."""
        if not (self.folder / CONFIG).is_file():
            raise FileExistsError(
                f"{self.folder} holds files that are no run; name an empty or a new folder with "
                "--out"
            )
        changed = differences(self.config, asked)
        if not resume:
            which = f"another run (its {changed} differ)" if changed else "this run already"
            remedy = "" if changed else ", or finish it with --resume"
            raise FileExistsError(
                f"{self.folder} holds {which}; name another folder with --out{remedy}"
            )
        known = self.meta
        changed = changed or differences({key: known.get(key) for key in origin}, origin)
        if changed:
            raise ValueError(
                f"--resume needs the run that {self.folder} holds, but {changed} differ; ask as "
                "before, or name another folder with --out"
            )
        sweep_up(self.folder)
        if known["versions"] != (now := versions()):
            self.note(resumed_with=now)

    def _write(self, name: str, content: bytes) -> Path:
        return write_whole(self.folder / name, content)


def in_order(key: str) -> list[tuple[int, str]]:
    """Sorts numbers in a key as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in NUMBER.split(key)]


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file."""
    try:
        return pd.read_parquet(path)
    except ArrowInvalid as error:
        raise ValueError(
            f"{path} is a damaged table ({error}); delete it and go on with --resume"
        ) from None
