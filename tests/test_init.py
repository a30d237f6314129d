"""The package's surface: light to import, every listed name there, nothing global touched."""

import ast
import subprocess
import sys
from pathlib import Path

import crosslens


HEAVY = "torch transformers transformer_lens wandb pandas scipy sklearn plotly captum".split()

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
    assert set(crosslens.__all__) == set(listed)
    for name in listed:
        assert getattr(crosslens, name).__module__.startswith("crosslens.")
