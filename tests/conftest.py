"""What pytest does before the tests; their fixtures are in `tiny_models.py`."""

import gc
import os


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, as torch's: one for each process

import checked  # before anything is imported that is to be checked
import pytest
import xdist


def pytest_sessionstart(session: pytest.Session) -> None:
    if not xdist.is_xdist_controller(session):  # which runs no test, so need not wait for torch
        session.config.pluginmanager.import_plugin("tiny_models")


def pytest_collection_finish() -> None:
    gc.freeze()  # what is imported stays: no collection need look at it again
    gc.set_threshold(50_000, 20, 100)  # a forward pass makes thousands of objects and no cycle


def pytest_runtest_setup() -> None:
    checked.Calls.test += 1
