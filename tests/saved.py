"""A checkpoint as files."""

import json
from pathlib import Path
from typing import Any


def save(folder: Path | str, *parts: Any) -> Path:
    """The folder with what each part, model or tokenizer, writes of itself."""
    for part in parts:
        part.save_pretrained(folder)
    return Path(folder)


def change(path: Path, **changes: Any) -> None:
    """Other values for some keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reconfigure(folder: Path, **changes: Any) -> None:
    """Change what the folder's config.json declares."""
    change(folder / "config.json", **changes)
