"""Where a result comes from: versions, and values that can be written down and compared."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final


# what the result of a run may depend on
PACKAGES: Final = ("crosslens", "torch", "transformers", "transformer-lens", "numpy")


def versions() -> dict[str, str]:
    """Of everything that a result may depend on."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:  # run from the source tree
            return "not installed"

    return {
        **{package: installed(package) for package in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


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
