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
from short_texts import short_sentences
from simulated_device import COPIES, DEVICE, leaves, OnDevice, simulated_device
from tiny import AND_DECODER, exact_norms, KIN, tiny
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes, TorchDispatchMode

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
    keys_of_bias,
    length_curve,
    ov_map,
    qk_map,
    saturation_curve,
    soft_tf,
    soft_tf_gain,
)
from crosslens.attribution import Noise, padding_baseline, patch_together
from crosslens.attribution.flow.noise_statistics import STATISTICS
from crosslens.attribution.words.catalogue import Method, METHODS
from crosslens.batching import by_like_length, in_batches, recorded as in_memory, scores_of
from crosslens.discovery import attention_to_matches, written_of_matches
from crosslens.faithfulness import (
    completeness,
    curve,
    drawn_from,
    Graph,
    keep_edges,
    keep_nodes,
    mean_over,
    minimality,
    nodes_of,
    rerank_alone,
)
from crosslens.idf import directions_of, idf_direction, idf_doses, TokenIdf
from crosslens.interventions import (
    edit_rows,
    move_rows,
    position_mean_of,
    scale_coordinate,
    singular_vectors,
)
from crosslens.neurons import (
    BASELINES,
    neuron_flow,
    Neurons,
    preference,
    Scheme,
    silenced_scores,
    single_ablation,
    target,
)
from crosslens.planted import plant
from crosslens.probing import early_scores, features, token_groups
from crosslens.surrogate import observe
from crosslens.tuning import Example, is_embedding, Ranker, SCORING_HEADS, tune, Tuning
from crosslens.words import (
    degradation,
    leave_one_out,
    lime,
    noise_statistics,
    truncation,
    WordAttribution,
)


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


class DrawsNothing(TorchDispatchMode):
    """Refuses random numbers that are drawn on the device: a GPU's are others.

    Attention's fused kernels could drop out, and do not.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded in func.tags and "scaled_dot_product" not in name:
            tensors = [each for each in leaves([found]) if isinstance(each, Tensor)]
            on_device = [each for each in tensors if each.device.type != "cpu"]
            assert not on_device, f"{func} draws on the device, whose random numbers are its own"
        return found


@pytest.fixture(autouse=True)
def second_device(unchecked: None) -> Iterator[None]:
    """The device is there; annotations, which other tests check, take half of the time."""
    with simulated_device(), DrawsNothing():
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
    found = measure(case(family, place))
    with _disable_current_modes():  # as on a machine without a device, which is faster
        expected = measure(case(family, None))
    require_alike(found, expected, rtol=1e-6)


def require_same_run(
    run: Callable[[torch.device | None, Path], Any],
    folder: Path,
    place: torch.device | None = DEVICE,
) -> None:
    """A longer run ends the same on the device and in main memory.

    Raises:
        AssertionError: says where it differs.
    """
    there, here = folder / "there", folder / "here"
    for own in (there, here):
        own.mkdir()
    found = run(place, there)
    with _disable_current_modes():
        expected = run(None, here)
    require_alike(found, expected, rtol=1e-4)


def require_alike(found: Any, expected: Any, *, rtol: float) -> None:
    """Two results hold the same, in the same places.

    Raises:
        AssertionError: says where they differ.
    """
    there = dict(flat(found))
    for name, values in flat(expected):
        own = there.pop(name)
        if values.dtype.kind in "fc":
            np.testing.assert_allclose(own, values, rtol=rtol, atol=1e-8, err_msg=name)
        else:
            assert pd.Series(own.flatten()).equals(pd.Series(values.flatten())), name
    assert not there and dict(flat(expected))


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
    found = []
    for kind in STATISTICS:
        noises = noise_statistics(case.model, case.pairs, kind)
        passed = bottleneck(case.model, case.pairs, noises, steps=3, repeats=2)
        found.append((noises, passed.nats, passed.beta))
    return found


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


def batched(case: Case) -> Any:
    model, pairs = case.model, case.pairs
    cache, plain = in_memory(model, pairs, ["z", Site("embed")], at_once=1)
    lengths = in_batches(model, pairs, "pair", lambda some, _: some.lengths)
    parts = [rows for rows, _ in by_like_length(lambda rows, width: (rows, width), pairs)]
    return {str(site): value for site, value in cache.items()}, plain, lengths, parts


def on_planted(case: Case) -> Any:
    """What needs a signal that some head carries."""
    model = planted(case.model.device)
    axioms = Axioms(model, few())
    exact, levels = axioms.tfc1(2), axioms.saturation(2)
    rarity = TokenIdf.of_documents(model.tokens.tokenizer, few().documents.values())
    direction = idf_direction(model.W_E, rarity)
    ranked = rerank_alone(model, few(), model.heads()[:3], rest=ablate)
    return (
        soft_tf_gain(model, exact),
        saturation_curve(model, levels).value,
        length_curve(model, axioms.lengthened(2)).value,
        idf_doses(model, exact.more, direction, scales=[2.0], n_random=1),
        ranked.alone,
        [attention_to_matches(model, exact.more), written_of_matches(model, exact.more)],
    )


def kept(case: Case) -> Any:
    model, contrast = case.model, case.contrast
    nodes, edges = [nodes_of(model)[:3]], [Graph.of(model).edges[:30]]
    rests = [None, mean_over(model, case.pairs), drawn_from(model, case.pairs, generator=draw())]
    found = [keep_nodes(model, contrast, nodes, rest=rest) for rest in rests]
    found += [keep_edges(model, contrast, edges, rest=rest) for rest in rests[:2]]
    whole = completeness(model, contrast, nodes[0], n_random=2, n_greedy=0)
    areas = curve(model, contrast, nodes_of(model))
    return found, minimality(model, contrast, nodes[0]), whole.gap, areas.cpr, areas.cmd


def attributed(case: Case, method: Method) -> Any:
    found = method(case.model, case.pairs)
    return found.token, found.frame()


def deleted(case: Case) -> Any:
    random = METHODS["random"](case.model, case.pairs)
    below = scores_of(case.model, case.pairs) - 0.05
    lost = truncation(case.model, random, below)
    return degradation(case.model, [random], shares=[0.3, 0.6]), lost


def probed(case: Case) -> Any:
    groups = token_groups(case.pairs, torch.tensor([5, 12, 14, 20]), generator=draw())
    found = features(case.model, case.pairs, groups)
    states = {name: (each.vectors, each.counts) for name, each in found.items()}
    return states, found["query"].means(1), early_scores(case.model, case.pairs)


def silenced(case: Case) -> Any:
    neurons = Neurons.of(case.model, case.pairs)
    scheme = Scheme.top("last", neurons, np.arange(len(neurons), dtype=float), 0.01)
    return (
        silenced_scores(case.model, case.pairs, [scheme]),
        single_ablation(case.model, case.pairs, neurons.units(range(0, len(neurons), 97))),
        [preference(case.model, case.pairs, each) for each in (None, *BASELINES.values())],
    )


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


def mapped(case: Case) -> Any:
    W_E, found = case.model.W_E.detach(), []
    for head_map in (qk_map(case.model, head(1, 1)), ov_map(case.model, head(0, 2))):
        found.append((head_map.positivity, head_map.alignment(W_E[5], k=2), head_map.singular))
    return found, keys_of_bias(case.model, head(1, 1))


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
    "batches": batched,
    "signals that were planted": on_planted,
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
    "maps of heads": mapped,
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
    found, expected = patched_in_few(moved), patched_in_few(here)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


# Of the others one makes pairs of its own, and two ask for no score.
ASKS_NONE = ("maps of heads", "words, random")
OF_PAIRS = [name for name in MEASURES if name not in ("explanation", *ASKS_NONE)]


@pytest.mark.parametrize("name", [name for name in OF_PAIRS if "planted" not in name])
def test_pairs_that_stayed_behind_are_refused_in_one_way(name: str):
    """By the first pass, before anything of theirs meets a tensor of the device."""
    here, there = case("bert", DEVICE), case("bert", None)
    for model, pairs, contrast in ((here.model, *there[1:]), (there.model, *here[1:])):
        with pytest.raises(ValueError, match=r"tokens\) on .* the model is on .*to\(model.device"):
            MEASURES[name](Case(model, pairs, contrast))
        assert not model.is_hooked


def test_the_pieces_of_a_pass_refuse_them_too():
    here, there = case("bert", DEVICE), case("bert", None)
    words = torch.zeros(*there.pairs.token.shape, here.model.cfg.d_model, device=DEVICE)
    for run in (
        lambda: here.model.replay(there.pairs),
        lambda: here.model.suffix(there.pairs, 1, words),
    ):
        with pytest.raises(ValueError, match=r"pairs.to\(model.device\)"):
            run()


@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_a_pass_moves_nothing_between_devices(family: str):
    model, pairs, _ = case(family, DEVICE)
    moved = []

    class Moves(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            found = func(*args, **(kwargs or {}))
            if func in COPIES and isinstance(args[0], OnDevice) != isinstance(found, OnDevice):
                moved.append(func)
            return found

    with torch.no_grad(), Moves():
        model(pairs)
        assert not moved
        pairs.to("cpu")
    assert moved, "the control: pairs that move are seen"


def test_a_draw_on_the_device_is_refused():
    """Without this no test here would see one."""
    with pytest.raises(AssertionError, match="draws on the device"):
        torch.rand(3, generator=torch.Generator(DEVICE), device=DEVICE)
    with pytest.raises(AssertionError, match="draws on the device"):
        torch.nn.functional.dropout(torch.ones(3, device=DEVICE))


def test_embeddings_are_decomposed_in_main_memory(monkeypatch: pytest.MonkeyPatch):
    """A GPU's routine would turn some directions round, and mix those of equal size."""
    W_E, whole, seen = case("bert", DEVICE).model.W_E.detach(), torch.linalg.svd, []

    def svd(rows: Tensor, **options: Any) -> Any:
        seen.append(rows.device.type)
        return whole(rows, **options)

    monkeypatch.setattr(torch.linalg, "svd", svd)
    of_head = ov_map(case("bert", DEVICE).model, head(1, 1)).singular
    of_words = [directions_of(W_E, centre=centre) for centre in (False, True)]
    for found in (singular_vectors(W_E), of_head, *of_words):
        assert {each.device for each in found} == {DEVICE}
    assert set(seen) == {"cpu"}


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


@cache
def planted(device: torch.device | None) -> CrossEncoder:
    return load(plant("bm25?layers=3&heads=3&decoys=1"), device=device).double()


@cache
def few() -> Collection:
    return short_sentences(collection().sample(6, 3), 4)


EXAMPLES: Final = [
    Example("cats", f"{animal} {word}", float(animal == "cats"))
    for word in ("purr", "rest", "in town")
    for animal in ("cats", "dog")
]
QUICK: Final = Tuning(epochs=2, rate=3e-3, batch=4)


def tuned(place: torch.device | None, folder: Path) -> Any:
    """The losses and the embeddings of a fine-tuning, and what is read back from its file."""
    model, file, better = loaded("bert", place), folder / "state", count()
    asked = {"tuning": QUICK, "chosen": is_embedding}
    history = tune(model, EXAMPLES, lambda: float(next(better)), file, **asked)
    again = tune(model, EXAMPLES, lambda: 0.0, file, **asked)
    assert [each.validated for each in again] == [0.0, 1.0, 2.0]
    return [each.loss for each in history], model.W_E.detach()


def learned(place: torch.device | None, folder: Path, kind: str, *, is_frozen: bool) -> Any:
    """The losses of a scoring head."""
    model = loaded("bert", place)
    head = SCORING_HEADS[kind](len(model.block_outputs()), model.cfg.d_model)
    ranker = Ranker(model, head.double().to(model.device), is_frozen=is_frozen)
    own = {"tuning": QUICK, "chosen": lambda name: name.startswith("head.")}
    return [each.loss for each in tune(ranker, EXAMPLES, lambda: 0.0, folder / "state", **own)]


def reranked(place: torch.device | None, folder: Path) -> Any:
    """A ranking under interventions of several kinds."""
    lines = [
        "ablate 1.1",
        "noise 0.resid_post keep 0.9 std 0.2 seed 3",
        "mask document->query from layer 1",
        "scale idf of 'food' by 3",
    ]
    found = rerank(planted(place), few(), lines)
    return {qid: [(each.doc_id, each.score) for each in ranking] for qid, ranking in found.items()}


ASKED: Final = {"layer_attribution": {"steps": 4, "most_steps": 4}}


def analysed(place: torch.device | None, folder: Path, name: str) -> Any:
    """The tables of an analysis."""
    run = Findings.create(folder / name, {"analysis": name})
    options = catalogue()[name].options(**ASKED.get(name, {}))
    answer_into(name, Given(planted(place), (few(),), 2, 0, options, run, lambda *_: None))
    return {table: run.read(table) for table in run.tables()}


def claimed(place: torch.device | None, folder: Path) -> Any:
    """The figures of claims."""
    evidence = Evidence(planted(place), Axioms(planted(place), few()), n=3, scored=6)
    claims = [claim for name in ("document-states", "periods") for claim in named(name)]
    return {claim.name: claim.detect(evidence).frame() for claim in claims}


ANALYSES: Final = (
    *("interaction_masks", "attention_majority", "without_markers", "hidden_periods"),
    *("highlights", "idf_direction", "attention_groups", "layer_attribution"),
)
RUNS: Final[Mapping[str, Callable[[torch.device | None, Path], Any]]] = {
    "tuning": tuned,
    "a head on frozen states": partial(learned, kind="Rep", is_frozen=True),
    "a head": partial(learned, kind="Last-Int", is_frozen=False),
    "a ranking": reranked,
    "claims": claimed,
    **{f"analysis, {name}": partial(analysed, name=name) for name in ANALYSES},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_the_same_on_both_devices(name: str, tmp_path: Path):
    require_same_run(RUNS[name], tmp_path)


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
