"""The package's surface: light to import, every listed name there, nothing global touched."""

import ast
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import pytest

import crosslens
from crosslens.moved import RENAMED


HEAVY = "torch transformers transformer_lens wandb pandas scipy sklearn plotly captum".split()

NAMESPACES = [getattr(crosslens, n) for n in crosslens.__all__ if ismodule(getattr(crosslens, n))]

# Run in a fresh interpreter: this one has long imported everything.
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
"""


def test_importing_is_light_and_leaves_global_state_alone():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, stderr=sys.stderr)


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
