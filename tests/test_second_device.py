"""On a second device every measurement runs, and gives the numbers of main memory.

The device is simulated (`simulated_device.py`): the code runs as it would on a GPU, and an
operation that CUDA would refuse, above all one that mixes devices, is refused. So these tests show
that no step indexes, masks, adds or draws across devices. What only a GPU can show is in the
docstring of `simulated_device.py`: its kernels' rounding, memory, speed, determinism and random
numbers, and several GPUs at once.

Weights are float64, so that a number that differs is another number and not its rounding.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from crosslens.analyses.catalogue import catalogue
from crosslens.analyses.running import answer_into, Given
from crosslens.circuits.catalogue import named
from crosslens.circuits.evidence import Evidence
from encoder_decoders import encoder_decoder, MONO, tokenizer
from simulated_device import DEVICE, OnDevice, simulated_device
from tiny import AND_DECODER, exact_norms, KIN, tiny
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from crosslens import (
    ablate,
    attention_mask,
    attribution_patching,
    Axioms,
    bottleneck,
    Cache,
    Collection,
    collection,
    conductance,
    Contrast,
    CrossEncoder,
    direct_attribution,
    discover,
    edge_attribution,
    explain,
    Findings,
    head,
    Hook,
    load,
    mean_of,
    noise,
    Pairs,
    patching,
    path,
    path_edges,
    path_patching,
    rerank,
    resample,
    search,
    Site,
    sweep,
    token_mask,
    trace,
    Unit,
)
from crosslens.attention import (
    attention_follows,
    attention_shares,
    attention_similarity,
    attention_within_query,
    soft_tf,
)
from crosslens.attribution import Noise, padding_baseline, patch_together
from crosslens.attribution.words.catalogue import Method, METHODS
from crosslens.faithfulness import (
    drawn_from,
    Graph,
    keep_edges,
    keep_nodes,
    mean_over,
    minimality,
    nodes_of,
)
from crosslens.interventions import (
    edit_rows,
    move_rows,
    position_mean_of,
    scale_coordinate,
    singular_vectors,
)
from crosslens.neurons import neuron_flow, Neurons, Scheme, silenced_scores, target
from crosslens.planted import plant
from crosslens.probing import early_scores, features, token_groups
from crosslens.surrogate import observe
from crosslens.tuning import Example, is_embedding, Ranker, SCORING_HEADS, tune, Tuning
from crosslens.words import degradation, leave_one_out, lime, WordAttribution


QUERY: Final = "why do cats purr"
DOCUMENTS: Final = (
    "cats purr when they rest, and in town. what is large.",
    "the engine of a car, in the 2.5, and the cats of the town, purr.",
)
BASE: Final = (
    "the engine of a car and cats rest",
    "a car in the town and the bark of a dog by cats",
)


class Case(NamedTuple):
    """A model, pairs, and a contrast, on one device."""

    model: CrossEncoder
    pairs: Pairs
    contrast: Contrast

    @property
    def z(self) -> tuple[Cache, Cache]:
        """What heads write, in both sides of the contrast."""
        return recorded(self.model, self.contrast.base), recorded(self.model, self.contrast.more)


Measure = Callable[[Case], Any]


@pytest.fixture(autouse=True)
def second_device(unchecked: None) -> Iterator[None]:
    """The device is there; annotations, which other tests check, take half of the time."""
    with simulated_device():
        yield


def loaded(family: str, device: torch.device | None) -> CrossEncoder:
    """A tiny model of a family in float64, loaded onto a device."""
    if family in ("t5", "mt5"):
        original = encoder_decoder(family)
        texts, options = tokenizer(), {"template": MONO, "relevant": ("true", "false")}
    else:
        small = {"num_hidden_layers": 2}
        small |= {"num_attention_heads": 4} if family == "bert" else {}
        (original, texts), options = tiny(family, **small), {}
    exact_norms(original)
    return load(original, texts, device=device, **options).double()


@cache
def case(family: str, device: torch.device | None) -> Case:
    model = loaded(family, device)
    queries = [QUERY] * len(BASE)
    more = [text.replace("car", "python") for text in BASE]
    contrast = Contrast.between(model.pairs(queries, BASE), model.pairs(queries, more), "word")
    return Case(model, model.pair(QUERY, *DOCUMENTS), contrast)


def require_same(
    measure: Measure, family: str = "bert", place: torch.device | None = DEVICE
) -> None:
    """The device and main memory give the same numbers.

    Raises:
        AssertionError: says where they differ.
    """
    found, expected = (dict(flat(measure(case(family, at)))) for at in (place, None))
    assert found.keys() == expected.keys() and found
    for name, values in expected.items():
        if values.dtype.kind in "fc":
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-8, err_msg=name)
        else:
            assert found[name].tolist() == values.tolist(), name


def flat(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a result, by its place in it."""
    if isinstance(value, Tensor):
        yield name, value.detach().cpu().numpy()
    elif isinstance(value, pd.DataFrame):
        for column in value:
            yield f"{name}.{column}", value[column].to_numpy()
    elif is_dataclass(value):
        for each in fields(value):
            yield from flat(getattr(value, each.name), f"{name}.{each.name}")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from flat(each, f"{name}[{key}]")
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            yield from flat(each, f"{name}[{i}]")
    elif isinstance(value, str | Unit):
        yield name, np.array(str(value))
    else:
        yield name, np.asarray(value)


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def recorded(model: CrossEncoder, pairs: Pairs, *names: str) -> Cache:
    with model.record(*names or ("z", "mlp_out")) as cache:
        model(pairs)
    return cache


@torch.no_grad()
def hooked(case: Case, *hooks: Hook) -> Tensor:
    with case.model.hooked(*hooks):
        return case.model(case.contrast.base)


def some_units(model: CrossEncoder) -> list[Unit]:
    """A unit of every kind: whole sites, heads, neurons, and tokens by number and by role."""
    streams = model.block_outputs()
    return [
        *model.heads()[:5],
        *(model.heads(read)[1] for read in ("q", "k", "v")),
        *(stream.at(pos=at) for stream in streams for at in ("D_inj", "document", 2)),
        Site("attn_out", 1).at(),
        Site("mlp_out", 0).at(pos="query"),
        Site("mlp_post", 0).at(neuron=1),
        Site("attn_scores", 0).at(head=1),
        Site("pattern", 1).at(head=0, dst="document", src="query"),
        Site("embed").at(pos="D_inj"),
    ]


def scores(case: Case) -> Any:
    return case.model(case.pairs), case.model.score(QUERY, DOCUMENTS)


def every_site(case: Case) -> Any:
    cache = recorded(case.model, case.pairs, *case.model.sites())
    return {str(site): value for site, value in cache.items()}


def patched(case: Case) -> Any:
    return patching(case.model, case.contrast, some_units(case.model)).recovered


def patched_in_few(case: Case) -> Any:
    return patching(case.model, case.contrast, some_units(case.model)[::4]).recovered


def knocked_out(case: Case) -> Any:
    return sweep(case.model, case.contrast.base, [ablate(u) for u in some_units(case.model)])


def masked(case: Case) -> Any:
    base = case.contrast.base
    blocked = base.where("document")[:, :, None] & base.where("query")[:, None]
    pairwise = {"dst": "document", "src": "query"}
    cells = [[mask(layer, **pairwise) for layer in (0, 1)] for mask in (token_mask, attention_mask)]
    cells += [[token_mask(0, blocked=blocked, head=1)], [attention_mask(0, blocked=blocked.cpu())]]
    return sweep(case.model, base, cells)


def replaced(case: Case) -> Any:
    cache, pairs = recorded(case.model, case.pairs), case.contrast.base
    base, more = case.z
    of_head, of_mlp = head(1, 1), Site("mlp_out", 0).at(pos="query")
    found = [
        hooked(case, ablate(of_head, mean_of(of_head, (cache, case.pairs)))),
        hooked(case, ablate(of_mlp, mean_of(of_mlp, (cache, case.pairs)))),
        hooked(case, resample(of_head, cache, case.pairs, generator=draw())),
        hooked(case, noise(of_mlp, 0.5, generator=draw())),
    ]
    whole = Site("mlp_out", 1).at()
    means = position_mean_of(whole, (cache, case.pairs), width=pairs.token.shape[1])
    routed = path(case.model, pairs, base, more, [head(0, 1)], [head(1, 1, "q")])
    return [*found, hooked(case, ablate(whole, means)), hooked(case, *routed)]


def edited(case: Case) -> Any:
    W_E = case.model.W_E.detach()
    return [
        hooked(case, scale_coordinate(singular_vectors(W_E), [10, 12, 14], -1.0)),
        hooked(case, move_rows([10, 12], W_E[3])),
        hooked(case, edit_rows([10, 12], W_E[3:5], pos="document")),
    ]


def conducted(case: Case) -> Any:
    start = padding_baseline(case.model, case.pairs)
    flow = conductance(case.model, case.pairs, start, steps=3)
    sure = target("probability", is_relevant=True)
    neurons = neuron_flow(case.model, case.pairs, start, steps=3, target=sure)
    return {str(site): value for site, value in flow.sites.items()}, flow.error, neurons.values


def squeezed(case: Case) -> Any:
    with torch.no_grad(), case.model.record(*case.model.block_outputs()) as cache:
        case.model(case.pairs)
    noises = [Noise.of_each(value, case.pairs) for value in cache.values()]
    passed = bottleneck(case.model, case.pairs, noises, steps=3, repeats=2)
    return passed.nats, passed.beta


def estimated(case: Case, **options: Any) -> Any:
    return attribution_patching(case.model, case.contrast, some_units(case.model), **options)


def by_edge(case: Case) -> Any:
    return [edge_attribution(case.model, case.contrast, steps=n) for n in (0, 2)]


def by_path(case: Case) -> Any:
    model, contrast = case.model, case.contrast
    senders = [*model.heads(), Site("mlp_out", 0).at(), Site("embed").at(pos="D_inj")]
    return [
        path_patching(model, contrast, model.heads()),
        path_patching(model, contrast, senders, [head(1, 1, "q"), head(1, 0, "k")]),
        path_edges(model, contrast, model.heads()[:4], model.heads("q")[4:]),
    ]


def chained(case: Case) -> Any:
    return trace(case.model, case.contrast, most=2)


def searched(case: Case) -> Any:
    return (
        search(case.model, case.contrast, case.model.heads()),
        patch_together(case.model, case.contrast, case.model.heads()[:2], draws=3),
        patching(case.model, case.contrast, case.model.heads()[:2]).summary(),
    )


def discovered(case: Case) -> Any:
    names = ("attention to matches", "activation difference", "zero ablation")
    heads = case.model.heads()[:3]
    found = {name: discover(case.model, case.contrast, heads, name).numbers for name in names}
    edges = Graph.of(case.model).edges[:4]
    return found, discover(case.model, case.contrast, edges, "EAP").numbers


def kept(case: Case) -> Any:
    model, contrast = case.model, case.contrast
    nodes, edges = [nodes_of(model)[:3]], [Graph.of(model).edges[:30]]
    rests = [None, mean_over(model, case.pairs), drawn_from(model, case.pairs, generator=draw())]
    found = [keep_nodes(model, contrast, nodes, rest=rest) for rest in rests]
    found += [keep_edges(model, contrast, edges, rest=rest) for rest in rests[:2]]
    return found, minimality(model, contrast, nodes[0])


def attributed(case: Case, method: Method) -> Any:
    found = method(case.model, case.pairs)
    return found.token, found.frame()


def deleted(case: Case) -> Any:
    random = METHODS["random"](case.model, case.pairs)
    return degradation(case.model, [random], shares=[0.3, 0.6])


def probed(case: Case) -> Any:
    groups = token_groups(case.pairs, torch.tensor([5, 12, 14, 20]), generator=draw())
    found = features(case.model, case.pairs, groups)
    states = {name: (each.vectors, each.counts) for name, each in found.items()}
    return states, found["query"].means(1), early_scores(case.model, case.pairs)


def silenced(case: Case) -> Any:
    neurons = Neurons.of(case.model, case.pairs)
    scheme = Scheme.top("last", neurons, np.arange(len(neurons), dtype=float), 0.01)
    return silenced_scores(case.model, case.pairs, [scheme])


def attended(case: Case) -> Any:
    model, pairs = case.model, case.pairs
    return (
        attention_shares(model, pairs),
        attention_within_query(model, pairs),
        attention_follows(model, pairs, pairs.token.double()),
        attention_similarity(model, pairs, centre=True),
        soft_tf(model, pairs),
        direct_attribution(model, pairs),
        observe(model, pairs, model.heads()).frame(),
    )


def explained(case: Case) -> Any:
    return explain(case.model, QUERY, *DOCUMENTS)


WORDS: Final = {**METHODS, "LIME": partial(lime, samples=6)}
MEASURES: Final[Mapping[str, Measure]] = {
    "scores": scores,
    "sites": every_site,
    "patching": patched,
    "masks": masked,
    "attribution patching": estimated,
    "knock-outs": knocked_out,
    "means, donors, noise and paths": replaced,
    "edits of embeddings": edited,
    "conductance": conducted,
    "bottleneck": squeezed,
    "attribution patching on the way": partial(estimated, steps=2),
    "attribution patching, exact softmax": partial(estimated, exact_softmax=True),
    "attribution patching, GradDrop": partial(estimated, grad_drop=True),
    "edge attribution": by_edge,
    "path patching": by_path,
    "trace": chained,
    "search": searched,
    "discovery": discovered,
    "faithfulness": kept,
    "degradation": deleted,
    "probing": probed,
    "silenced neurons": silenced,
    "attention": attended,
    "explanation": explained,
    **{f"words, {name}": partial(attributed, method=method) for name, method in WORDS.items()},
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measurement_is_the_same_on_both_devices(name: str):
    require_same(MEASURES[name])


@pytest.mark.parametrize("family", [*AND_DECODER[1:], *KIN, "gemma2", "t5"])
def test_a_model_of_each_family_is_the_same_on_both_devices(family: str):
    require_same(every_site, family)


@pytest.mark.parametrize("family", ["qwen3", "deberta-v2", "t5"])
@pytest.mark.parametrize("measure", [patched_in_few, masked, estimated])
def test_families_of_another_kind_are_swept_alike(family: str, measure: Measure):
    require_same(measure, family)


def test_a_step_that_mixes_devices_is_refused():
    """Without this the tests above could not fail."""
    here = case("bert", DEVICE)
    ones = torch.ones(len(here.contrast), 1, 1, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="same device"):
        hooked(here, Hook(Site("mlp_out", 0).at(), lambda x: x + ones))
    hooked(here, Hook(Site("mlp_out", 0).at(), lambda x: x + ones.to(x)))


def test_pairs_and_contrasts_follow_a_model_that_moves():
    here, there = case("bert", DEVICE), case("bert", None)
    moved = Case(here.model, there.pairs.to(DEVICE), there.contrast.to(DEVICE))
    assert moved.contrast.base.device == moved.contrast.more.device == DEVICE
    torch.testing.assert_close(patched(moved), patched(here), rtol=0, atol=0, equal_nan=True)


class Waits(TorchDispatchMode):
    """The operations, in their order; those that wait for the device are in capitals."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = ("_local_scalar_dense", "nonzero", "equal")
        name, is_there = func.overloadpacket.__name__, args and isinstance(args[0], OnDevice)
        self.seen.append(name.upper() if is_there and name in waits else name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_a_pass_waits_for_the_device_once_before_its_first_block(family: str):
    model, pairs, _ = case(family, DEVICE)
    with torch.no_grad(), Waits() as ran:
        model(pairs)
    waits = [place for place, name in enumerate(ran.seen) if name.isupper()]
    assert len(waits) == 1 and waits[0] < ran.seen.index("embedding")


EXAMPLES: Final = [
    Example("cats", f"{animal} {word}", float(animal == "cats"))
    for word in ("purr", "rest", "in town")
    for animal in ("cats", "dog")
]
QUICK: Final = Tuning(epochs=2, rate=3e-3, batch=4)


def test_tuning_ends_alike(tmp_path: Path):
    found = []
    for place in (DEVICE, None):
        model = loaded("bert", place)
        file, better = tmp_path / str(place), count()
        history = tune(
            model,
            EXAMPLES,
            lambda better=better: float(next(better)),
            file,
            tuning=QUICK,
            chosen=is_embedding,
        )
        again = tune(model, EXAMPLES, lambda: 0.0, file, tuning=QUICK, chosen=is_embedding)
        assert [each.validated for each in again] == [0.0, 1.0, 2.0], "read back from its file"
        found.append(([each.loss for each in history], model.W_E.detach().cpu()))
    (losses, here), (expected, there) = found
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    torch.testing.assert_close(here, there, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_scoring_heads_learn_alike(is_frozen: bool, tmp_path: Path):
    losses = []
    for place in (DEVICE, None):
        model = loaded("bert", place)
        kind = SCORING_HEADS["Rep" if is_frozen else "Last-Int"]
        scorer = kind(len(model.block_outputs()), model.cfg.d_model).double().to(model.device)
        ranker = Ranker(model, scorer, is_frozen=is_frozen)
        history = tune(
            ranker, EXAMPLES, lambda: 0.0, tmp_path / str(place),
            tuning=QUICK, chosen=lambda name: name.startswith("head."),
        )  # fmt: skip
        losses.append([each.loss for each in history])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_values_in_main_memory_serve_pairs_of_the_device():
    """A scorer of texts knows no device, and noise may have been kept in main memory."""
    model, pairs, _ = case("bert", DEVICE)
    counted = leave_one_out(lambda some: some.where("query").sum(dim=1).cpu().float(), pairs)
    assert counted.token.device == DEVICE
    by_hand = WordAttribution("by hand", pairs, counted.token.cpu())
    assert [by_hand.order(i) for i in range(len(pairs))] == [
        counted.order(i) for i in range(len(pairs))
    ]
    noises = [Noise(torch.zeros(1, 1, 24), torch.ones(1, 1, 24))] * len(model.blocks)
    noises = [Noise(each.mean.double(), each.std.double()) for each in noises]
    found = bottleneck(model, pairs, noises, layers=[0], steps=1, repeats=1)
    assert found.nats.device == DEVICE


@cache
def planted(device: torch.device | None) -> CrossEncoder:
    return load(plant("bm25?layers=3&heads=3&decoys=1"), device=device).double()


@cache
def few() -> Collection:
    return collection().sample(6, 3)


def test_a_ranking_under_interventions_is_the_same():
    lines = [
        "ablate 1.1",
        "noise 0.resid_post keep 0.9 std 0.2 seed 3",
        "mask document->query from layer 1",
        "scale idf of 'food' by 3",
    ]
    found, expected = (rerank(planted(place), few(), lines) for place in (DEVICE, None))
    for qid, ranking in expected.items():
        assert [each.doc_id for each in found[qid]] == [each.doc_id for each in ranking]
        np.testing.assert_allclose(
            [each.score for each in found[qid]], [each.score for each in ranking], rtol=1e-4
        )


@pytest.mark.parametrize(
    "name", ["interaction_masks", "attention_majority", "without_markers", "hidden_periods"]
)
def test_an_analysis_has_the_same_tables(name: str, tmp_path: Path):
    runs = []
    for place in (DEVICE, None):
        run = Findings.create(tmp_path / str(place), {"analysis": name})
        options = catalogue()[name].options()
        answer_into(name, Given(planted(place), (few(),), 2, 0, options, run, lambda *_: None))
        runs.append(run)
    found, expected = runs
    for table in expected.tables():
        pd.testing.assert_frame_equal(found.read(table), expected.read(table), rtol=1e-4)


def test_claims_come_to_the_same_figures():
    here, there = (
        Evidence(planted(place), Axioms(planted(place), few()), n=3, scored=6)
        for place in (DEVICE, None)
    )
    for name in ("document-states", "periods"):
        (claim,) = named(name)
        found, expected = claim.detect(here).frame(), claim.detect(there).frame()
        assert len(expected) and found["holds"].equals(expected["holds"])
        pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
