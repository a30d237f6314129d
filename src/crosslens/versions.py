"""The versions of everything that a result may depend on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final


# what the result of a run may depend on
PACKAGES: Final = ("crosslens", "torch", "transformers", "transformer-lens", "numpy")


def versions() -> dict[str, str]:
    """Of the packages, of Python, and of the platform, by name."""

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
