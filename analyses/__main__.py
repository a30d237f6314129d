"""`python -m crosslens.analyses` is the command `crosslens analyses`."""

import runpy
import sys


if __name__ == "__main__":
    sys.argv[1:] = ["analyses", *sys.argv[1:]]
    runpy.run_module("crosslens", run_name="__main__")
