"""The package's surface: light to import, every listed name there, nothing global touched."""

import ast
import json
import os
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import pytest
from tiny import tiny

import crosslens
from crosslens.moved import RENAMED
from crosslens.provenance import of_model


HEAVY = "torch transformers transformer_lens wandb pandas scipy sklearn plotly captum".split()

NAMESPACES = [getattr(crosslens, n) for n in crosslens.__all__ if ismodule(getattr(crosslens, n))]

# Three families stand for all; the process below makes the same random models.
SOME = ("bert", "modernbert", "qwen2")

# Run in a fresh interpreter: this one has long imported everything. What else is asked of another
# process is asked of the same one, which takes seconds to import what it needs.
SCRIPT = f"""
import logging, os, random, sys
import crosslens
heavy = set({HEAVY!r}) & set(sys.modules)
assert not heavy, heavy

import torch, transformers
def state():
    loggers = logging.root.manager.loggerDict.items()
    return dict(
        levels={{n: x.level for n, x in loggers if getattr(x, "level", 0)}},
        handlers=list(logging.root.handlers),
        verbosity=transformers.logging.get_verbosity(),
        random=random.getstate(),
        torch_random=torch.get_rng_state().tolist(),
        is_grad=torch.is_grad_enabled(),
        dtype=torch.get_default_dtype(),
        threads=torch.get_num_threads(),
        environment=dict(os.environ),
    )
before = state()
crosslens.load, crosslens.sweep
for name, value in state().items():
    if name == "levels":  # other libraries make loggers of their own; ours to keep are these
        value = {{n: level for n, level in value.items() if n in before[name]}}
    assert value == before[name], (name, before[name], value)
assert "torch" in sys.modules and "wandb" not in sys.modules, "the first check can fail"
print("imported")

import json
from crosslens.provenance import of_model
from tiny import tiny
print(json.dumps([of_model(crosslens.load(*tiny(name, 0))) for name in {SOME}]))
"""


@pytest.fixture(scope="module")
def another_process() -> subprocess.CompletedProcess[str]:
    """What `SCRIPT` prints where hashes of texts are others than here."""
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    run = [sys.executable, "-c", SCRIPT]
    return subprocess.run(run, env=environment, capture_output=True, text=True, check=False)


def test_importing_is_light_and_leaves_global_state_alone(another_process):
    assert another_process.stdout.startswith("imported\n"), another_process.stderr


def test_another_process_finds_the_same_digests(another_process):
    assert another_process.returncode == 0, another_process.stderr
    _, found = another_process.stdout.splitlines()
    assert json.loads(found) == [of_model(crosslens.load(*tiny(name, 0))) for name in SOME]


def test_every_public_name_is_listed_once_and_resolves():
    stub = ast.parse(Path(crosslens.__file__).with_suffix(".pyi").read_text())
    listed = [alias.name for line in stub.body for alias in line.names]
    assert len(listed) == len(set(listed))
    own = [name for name in listed if not ismodule(getattr(crosslens, name))]
    assert len(own) <= 60, "more than a head can hold"
    assert set(crosslens.__all__) == set(listed)
    homes = [crosslens, *NAMESPACES]
    names = [name for home in homes for name in home.__all__]
    assert len(names) == len(set(names)), "a name has one home"
    for home in homes:
        for name in home.__all__:
            value = getattr(home, name)
            assert home is crosslens or not ismodule(value), f"{name} hides behind a file's name"


def test_every_namespace_says_what_it_holds():
    for namespace in NAMESPACES:
        assert namespace.__doc__ and namespace.__all__, namespace.__name__


def test_a_name_that_moved_is_still_found_and_the_warning_says_where():
    for name, now in (
        ("padded", crosslens.attribution.padding_baseline),
        ("soft_tf", crosslens.attention.soft_tf),
        ("each", crosslens.units_at),
        ("statistics", crosslens.stats),
    ):
        with pytest.warns(DeprecationWarning, match=f"crosslens.{name} is crosslens"):
            assert getattr(crosslens, name) is now
    for name, place in RENAMED.items():
        with pytest.warns(DeprecationWarning, match=f"is crosslens.{place} now"):
            assert getattr(crosslens, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'pached'"):
        getattr(crosslens, "pached")  # noqa: B009
    with pytest.raises(ImportError, match="cannot import name"):
        from crosslens import nothing_of_the_kind  # noqa: F401
