"""Changed circuits, run folders and checkpoints: read, or refused by name."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from saved import save
from tiny import tiny

from crosslens import Findings, load, SavedCircuit
from crosslens.writing import CHECKSUMS, write_checked

from .mutations import changed, written
from .outcome import Outcomes, require


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)
CONFIG = {"analysis": "attention", "pairs": 8, "seed": 0}
ORIGIN = {"weights": "ab12"}


@st.composite
def edited(draw: Callable, whole: dict[str, Any]) -> dict[str, Any]:
    """An object with a value replaced, taken out or added, once or twice, at any depth."""
    whole = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 2))):
        place = whole
        while place:
            key = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or draw(st.booleans()):
                break
            place = place[key]
        if place:
            kind = draw(st.sampled_from("replace lose add".split()))
            if kind == "lose":
                del place[key]
            else:
                place[key if kind == "replace" else draw(st.text(max_size=6))] = draw(ANY)
    return whole


def circuit() -> dict[str, Any]:
    """A circuit of two layers with two heads each, as the file has it."""
    from crosslens.attribution.edges.edge_graph import Graph
    from crosslens.attribution.edges.edge_names import LOGITS, written as name

    graph = Graph.sized(2, 2)
    nodes = {name(unit): {"in_graph": i % 2 == 0} for i, unit in enumerate(graph.senders)}
    nodes[name(LOGITS)] = {"in_graph": True}
    edges = {
        name(edge): {"score": i / 8, "in_graph": i % 3 == 0} for i, edge in enumerate(graph.edges)
    }
    cfg = {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8}
    return {"cfg": cfg, "nodes": nodes, "edges": edges}


def circuits(content: bytes, outcomes: Outcomes, folder: Path) -> None:
    """Edges and effects of the file against those of the circuit."""
    written(folder, {"circuit.json": content})
    found = outcomes.of(lambda: SavedCircuit.load(folder / "circuit.json"), "circuit.json")
    if found is None:
        return
    pairs = json.loads(content, object_pairs_hook=lambda each: each)  # keys given twice, too
    edges = [dict(entry) for name, section in pairs if name == "edges" for _, entry in section]
    n = sum(entry["in_graph"] for entry in edges)
    require(n == len(found.edges), f"{len(found.edges)} of {n} edges in the circuit")
    scores = [entry.get("score") for entry in edges]
    n = sum(score is not None and not math.isnan(score) for score in scores)
    require(n == len(found.effects), f"{len(found.effects)} of {n} effects")


def run_folders(drawn: tuple[str, bytes, bool], outcomes: Outcomes, folder: Path) -> None:
    """A run with a changed file, which its journal vouches for or not."""
    name, content, is_vouched = drawn
    written(folder, sound_run(folder))
    if is_vouched and name != CHECKSUMS:
        write_checked(folder / name, content)
    else:
        (folder / name).write_bytes(content)

    def read() -> tuple[dict, dict]:
        run = Findings.open(folder)
        asked, meta = run.config, run.meta
        Findings.create(folder, CONFIG, provenance=ORIGIN, resume=True)
        return asked, meta

    found = outcomes.of(read, str(folder))
    if found is not None:
        require(found[0] == CONFIG and "versions" in found[1], f"read as {found}")


_SOUND: dict[str, bytes] = {}


def sound_run(folder: Path) -> dict[str, bytes]:
    """The files of a run that nobody has touched."""
    if not _SOUND:
        Findings.create(written(folder, {}), CONFIG, provenance=ORIGIN)
        names = ("config.yaml", "meta.json", CHECKSUMS)
        _SOUND.update({name: (folder / name).read_bytes() for name in names})
    return _SOUND


def checkpoints(config: dict[str, Any] | bytes, outcomes: Outcomes, folder: Path) -> None:
    """A checkpoint whose config.json was changed: it scores, or is refused."""
    if not (folder / "model.safetensors").is_file():
        save(folder, *tiny("bert"))
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    (folder / "config.json").write_bytes(content)
    model = outcomes.of(lambda: load(folder), str(folder), "config.json")
    if model is not None:
        with torch.no_grad():
            score = model(model.pair("why do cats purr", "cats rest")).item()
        require(math.isfinite(score), f"the score is {score}")


def artefact_parts(folder: Path) -> dict[str, tuple[st.SearchStrategy, Callable]]:
    whole, own = json.dumps(circuit(), indent=1).encode(), tiny("bert")[0].config.to_dict()
    own = json.loads(json.dumps(own, default=str)) | {
        "architectures": ["BertForSequenceClassification"]
    }
    sound = sound_run(folder / "run")
    runs = st.sampled_from(sorted(sound)).flatmap(
        lambda name: st.tuples(st.just(name), changed(sound[name]), st.booleans())
    )
    changed_circuits = changed(whole) | edited(circuit()).map(
        lambda each: json.dumps(each).encode()
    )
    return {
        "circuits": (changed_circuits, partial(circuits, folder=folder / "circuits")),
        "run folders": (runs, partial(run_folders, folder=folder / "run")),
        "checkpoints": (
            edited(own) | changed(json.dumps(own, indent=1).encode()),
            partial(checkpoints, folder=folder / "checkpoint"),
        ),
    }
