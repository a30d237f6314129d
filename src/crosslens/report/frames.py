"""The tables of a run, as the report reads them."""

from ..findings import Findings
from ..frames import Column as Column, Frame, pd as pd


def read(findings: Findings, name: str) -> Frame:
    """A table of the run."""
    return findings.read(name)
