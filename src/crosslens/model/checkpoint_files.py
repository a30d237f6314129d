"""The files of a checkpoint: where they lie, what their JSON holds, which one is damaged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from ..batching.batch_size import is_out_of_memory


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a local folder, or of a model of the hub (fetched as they are needed)."""

    name: str

    def find(self, file: str) -> Path | None:
        """Where `file` lies on disk, or None where the checkpoint has none."""
        if Path(self.name).is_dir():
            path = Path(self.name) / file
            return path if path.is_file() else None
        try:
            found = cached_file(
                self.name,
                file,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no checkpoint at {self.name!r}: neither a local folder with a config.json nor a "
                f"model the hub would give ({gist(error)})"
            ) from error
        return None if found is None else Path(found)

    def json(self, file: str, kind: type = dict) -> Any:
        """What the JSON of `file` holds, or an empty `kind` where the checkpoint has none.

        Raises:
            ValueError: the file is no JSON, or holds something else than a `kind`.
        """
        path = self.find(file)
        return kind() if path is None else read_json(path, kind)


def read_json(path: Path, kind: type = dict) -> Any:
    """What the JSON at `path` holds: a dict, or another `kind`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        remedy = pointer(path) or "copy or download the file again"
        raise ValueError(f"{path} is no readable JSON ({gist(error)}): {remedy}") from error
    if not isinstance(found, kind):
        raise ValueError(
            f"{path} holds a {type(found).__name__} where a {kind.__name__} is expected: "
            "copy or download the file again"
        )
    return found


def pointer(path: Path) -> str | None:
    """What to do about `path` if it is a pointer of git-lfs in place of the file."""
    with path.open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            return "it is a pointer of git-lfs, not the file: run `git lfs pull` in its folder"
    return None


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Every error of another library in the block as one that names `what`, a damaged file.

    The readers of other libraries meet a damaged file with any exception there is, Rust's
    panics included, which are no `Exception`. That a device has no memory left is no fault of the
    file.

    Raises:
        ValueError: in place of the error.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(f"{what}: {type(error).__name__}: {gist(error)}") from error


def gist(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
