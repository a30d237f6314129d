"""Inputs that nobody would write: each is read, or refused by an error of ours that says why.

    python -m tests.fuzz --inputs 100000            every part, with the counts of each
    python -m tests.fuzz texts runs --seed 7        some parts, from another seed

What is read is counted against what the file holds: a record that is neither read nor counted as
left out is lost, and loses the run its exit code 0. Everything happens in this process, in a
folder that goes when it ends.
"""

import sys
from pathlib import Path


sys.path.append(str(Path(__file__).parents[1]))  # for tiny.py, the random checkpoints
