"""Values as files hold them: made plain, compared, written."""

import json
from collections.abc import Mapping
from typing import Any


def plain(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The values as they come back from a file: tuples as lists, nothing but plain data."""
    kept = {}
    for key, value in values.items():
        try:
            # by way of JSON, which refuses what YAML would write as a Python object
            kept[key] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{what} {key!r} is {value!r}, which no file can hold ({error}); give text, "
                "numbers, lists or mappings"
            ) from None
    return kept


def differences(known: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The names of what differs, or nothing."""
    return ", ".join(
        key
        for key in sorted(known.keys() | given.keys())
        if known.get(key) != given.get(key) or (key in known) != (key in given)
    )


def as_json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
