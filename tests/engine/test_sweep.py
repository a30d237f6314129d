from contextlib import contextmanager

import pytest
import torch
from language_models import language_model, tokenizer
from tiny import AND_DECODER, DECODERS, tiny
from torch.utils.flop_counter import FlopCounterMode

from crosslens import Hook, load, Site, sweep, token_mask
from crosslens.engine.memory import Footprint
from crosslens.sites import ATTENTION, NEURONS, PER_HEAD, STREAM


def one_by_one(model, pairs, cells):
    """The naive sweep: one full hooked forward pass per cell."""
    scores = []
    for cell in cells:
        with torch.no_grad(), model.hooked(*cell):
            scores.append(model(pairs))
    return torch.stack(scores)


def shift(unit):
    """An edit that depends on what it sees, so that no slab can be mistaken for another."""
    return Hook(unit, lambda x: x.flip(0) * 0.5 + 0.3)


PARTS = {
    STREAM: [{}, {"pos": "query"}, {"pos": 3}, {"pos": "cls"}, {"pos": ("document", "sep1")}],
    PER_HEAD: [{}, {"head": 0}, {"head": 1, "pos": 0}, {"pos": "document"}],
    ATTENTION: [{}, {"head": 1}, {"dst": "query", "src": "document"}, {"dst": 0, "head": 3}],
    NEURONS: [{}, {"neuron": 5}, {"pos": "query", "neuron": 2}],
    Site("result").axes: [{"head": 1}, {"head": 2, "pos": "query"}],
}


def cells_of(model, turn):
    """Every site of every layer, one part of it at each `turn`; and hooks that act together."""
    units = []
    for place, site in enumerate(model.sites()):
        parts = PARTS.get(site.axes, [{}])
        units.append(site.at(**parts[(turn + place) % len(parts)]))
    together = [
        [Site("z", 0).at(head=1), Site("z", 2).at(head=3)],
        [Site("k", 1).at(), Site("mlp_post", 1).at(neuron=5)],
        [Site("resid_pre", 1).at(pos="query"), model.sites(model.cfg.block_output)[0].at()],
        [Site("pattern", 1).at(head=0), Site("attn_scores", 1).at(head=1)],
        [Site("z", 1).at(head=2), Site("z", 1).at(head=-1, pos="document")],
        [Site("mlp_post", 1).at(neuron=5), Site("mlp_post", 1).at(neuron=-2, pos=3)],
        [Site("mlp_pre", 0).at(neuron=3, pos="query"), Site("mlp_pre", 0).at(neuron=3)],
        [Site("q", 1).at(head=1), Site("k", 1).at(pos="document")],
        [Site("v", 1).at(head=0, d_head=2)],
    ]
    return [[shift(unit) for unit in cell] for cell in ([unit] for unit in units)] + [
        [shift(unit) for unit in cell] for cell in together
    ]


@pytest.mark.parametrize("family", [*AND_DECODER, "mpnet", "albert", "nomic_bert"])
@pytest.mark.parametrize(
    ("dtype", "turn", "worst"), [(torch.float64, 0, 1e-10), (torch.float32, 1, 1e-6)]
)
def test_a_sweep_is_one_full_forward_pass_per_cell_only_faster(family, dtype, turn, worst):
    model = load(*tiny(family)).to(dtype)
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the dog , a snake")
    cells = cells_of(model, turn)
    naive = one_by_one(model, pairs, cells)
    spread = naive.amax(dim=0) - naive.amin(dim=0)
    assert spread.min() > 0.1  # the cells differ, so agreement means something
    assert ((sweep(model, pairs, cells) - naive).abs() <= worst * spread).all()


@contextmanager
def rows_through(model, sites):
    """How many rows pass each of `sites`."""
    rows = dict.fromkeys(sites, 0)

    def count(site):
        def tap(activation):
            rows[site] += len(activation)

        return tap

    with model.tapped([(site, count(site)) for site in sites]):
        yield rows


AFTER_ATTENTION = dict.fromkeys(("attn_scores", "pattern", "z", "attn_out", "mlp_post"), (0, 1, 1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resid_pre", (1, 1, 1)), ("k", (1, 1, 1)), *AFTER_ATTENTION.items(), ("mlp_out", (0, 0, 1))],
)
def test_nothing_before_the_edit_is_computed_again(any_model, name, expected):
    pairs = any_model.pair("why do cats purr", "cats purr", "the dog , a snake")
    steps = [Site("q", 0), Site("q", 1), Site("mlp_pre", 1), Site("q", 2)]
    with rows_through(any_model, steps) as base:
        sweep(any_model, pairs, [])
    with rows_through(any_model, steps) as rows:
        sweep(any_model, pairs, [shift(Site(name, 1).at())])
    assert [rows[step] - base[step] for step in steps] == [0, *(2 * n for n in expected)]


@pytest.mark.parametrize(
    ("site", "part", "written"),
    [
        ("z", "head", "attn_out"),
        ("mlp_post", "neuron", "mlp_out"),
        ("mlp_pre", "neuron", "mlp_out"),
    ],
)
def test_of_the_map_that_heads_and_neurons_write_by_their_own_rows_are_computed(
    model, pairs, site, part, written
):
    def operations(*units):
        with FlopCounterMode(display=False) as counted:
            sweep(model, pairs, [shift(unit) for unit in units])
        return counted.get_total_flops()

    row_by_row = operations(Site(site, 1).at(**{part: 1})) - operations(Site(written, 1).at())
    n_rows = 1 if part == "neuron" else model.cfg.d_head
    assert row_by_row == 2 * pairs.token.numel() * n_rows * model.cfg.d_model


def test_heads_and_neurons_are_edited_where_a_hook_or_a_norm_sees_the_whole_sum(model, pairs):
    unit = Site("z", 1).at(head=1)
    doubled = Hook(Site("result", 1).at(), lambda written: written * 2)
    with model.hooked(doubled):
        found = sweep(model, pairs, [shift(unit)])
    assert (found - one_by_one(model, pairs, [[doubled, shift(unit)]])).abs().max() < 1e-5
    assert model.part_writes(Site("z", 1)) is not None
    assert model.part_writes(Site("attn_out", 1)) is None
    gemma = load(*tiny("gemma2"))
    assert (
        gemma.part_writes(Site("z", 1)) is None and gemma.part_writes(Site("mlp_post", 1)) is None
    )
    assert load(*tiny("modernbert")).part_writes(Site("mlp_pre", 1)) is None  # it has a gate


def test_the_output_of_a_block_is_the_input_of_the_next(any_model):
    pairs = any_model.pair("why do cats purr", "cats purr", "the dog , a snake")
    written = [Site(any_model.cfg.block_output, layer) for layer in (0, 2)]
    steps = [Site("mlp_pre", 0), Site("q", 1), Site("mlp_pre", 2)]
    with rows_through(any_model, steps) as base:
        sweep(any_model, pairs, [])
    with rows_through(any_model, steps) as rows:
        sweep(any_model, pairs, [shift(site.at()) for site in written])
    assert [rows[step] - base[step] for step in steps] == [0, 2, 2]  # the last: the head alone


def test_a_row_that_its_edits_leave_alone_is_not_computed(model, pairs):
    step, unit = Site("q", 2), Site("resid_pre", 1)
    only_first = Hook(unit.at(pos=2), lambda x: x * torch.tensor([[2.0], [1.0]]))
    beyond_first = Hook(unit.at(pos=int(pairs.lengths[0])), lambda x: x + 1)
    assert pairs.lengths[0] < pairs.lengths[1]
    with rows_through(model, [step]) as base:
        plain = sweep(model, pairs, [])
    with rows_through(model, [step]) as rows:
        scores = sweep(model, pairs, [Hook(unit.at(), lambda x: x * 1), only_first, beyond_first])
    assert plain.shape == (0, 2) and rows[step] - base[step] == 2
    moved = (scores - model(pairs)).abs() > 1e-5
    assert moved.tolist() == [[False, False], [True, False], [False, True]]
    naive = one_by_one(model, pairs, [[only_first], [beyond_first]])
    torch.testing.assert_close(scores[1:], naive, atol=1e-6, rtol=0)


def test_scores_come_back_in_the_order_of_the_cells(model, pairs):
    hooks = [Hook(unit, lambda z: z * 0) for unit in reversed(model.heads())]
    assert torch.allclose(sweep(model, pairs, hooks), sweep(model, pairs, hooks[::-1]).flip(0))


def test_progress_counts_every_cell_once(model, pairs):
    seen = []
    hooks = [Hook(unit, lambda z: z * 0) for unit in model.heads()]
    sweep(model, pairs, hooks, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12) and seen == sorted(seen)


def test_a_budget_splits_the_work_and_changes_nothing(model, pairs):
    hooks = [Hook(unit, lambda z: z * 0) for unit in model.heads()]
    size = Footprint.of(model, pairs)
    everything = size.of_sites([*model.sites("z"), *model.sites("resid_pre")]) * len(pairs)
    roomy = sweep(model, pairs, hooks)
    for budget in (2 * everything + size.block, everything // 2 + size.block):
        tight = sweep(model, pairs, hooks, memory_budget=budget)
        torch.testing.assert_close(tight, roomy, atol=1e-6, rtol=0)
    with pytest.raises(MemoryError, match="raise memory_budget, or take fewer or shorter pairs"):
        sweep(model, pairs, hooks, memory_budget=1_000)
    with pytest.raises(MemoryError, match="a cell with hooks in the pass"):
        both = [shift(Site("q", 1).at()), shift(Site("k", 1).at())]
        sweep(model, pairs, [both], memory_budget=size.block * 3 // 2)


def test_out_of_memory_halves_the_batch_and_goes_on(model, pairs, monkeypatch):
    """As a GPU would have it: more than three rows are too many."""
    hooks = [Hook(unit, lambda z: z * 0) for unit in model.heads()]
    whole = shift(Site("resid_mid", 1).at())
    inner = [[whole, shift(Site("mlp_pre", 1).at(neuron=i))] for i in range(4)]
    expected = sweep(model, pairs, [*hooks, *inner])
    suffix, sizes = model.suffix, []

    def small(pairs, start, given):
        sizes.append(len(pairs))
        if len(pairs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return suffix(pairs, start, given)

    monkeypatch.setattr(model, "suffix", small)
    scores = sweep(model, pairs, [*hooks, *inner])
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)
    assert max(sizes) > 3 and sum(size > 3 for size in sizes) <= 8  # it learns what fits

    def never(pairs, start, given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "suffix", never)
    with pytest.raises(torch.OutOfMemoryError):
        sweep(model, pairs, hooks)


def test_an_empty_cell_is_refused(model, pairs):
    with pytest.raises(ValueError, match="cell 1 has no hook"):
        sweep(model, pairs, [Hook(model.heads()[0], lambda z: z), []])


def test_a_sweep_leaves_no_trace(model, pairs):
    before = model(pairs)
    with pytest.raises(ZeroDivisionError):
        sweep(model, pairs, [Hook(model.heads()[0], lambda z: z / (1 // 0))])
    assert torch.equal(model(pairs), before)


# A causal model: what stands before the first edited token is not computed.
TEMPLATE = "why do cats purr? {query}\n{document}\nrest:"
NAMES = ("resid_pre", "pattern", "attn_scores", "z", "attn_out", "resid_mid", "mlp_out")
TEXTS = ("why do cats purr", "cats purr when they rest", "the dog , a snake")


def at(site, place):
    """The part of a site at one place: its token, or what it reads."""
    return site.at(**{"dst" if "dst" in site.axes else "pos": place})


@pytest.fixture
def firsts(monkeypatch):
    """From which token on each pass of a sweep computed."""
    seen = []

    def watch(model):
        suffix = model.suffix

        def watched(pairs, start, given, earlier=()):
            seen.append(earlier[0]["k"].shape[1] if earlier else 0)
            return suffix(pairs, start, given, earlier)

        monkeypatch.setattr(model, "suffix", watched)
        return seen

    return watch


@pytest.mark.parametrize("family", DECODERS)
def test_a_sweep_from_the_first_edited_token_on_is_that_of_whole_passes(family, firsts):
    model = load(*tiny(family))
    pairs = model.pair(*TEXTS)
    cells = [
        [shift(at(site, place))]
        for site in model.sites()
        if site.name in NAMES
        for place in (5, int(pairs.lengths.min()) - 1)
    ]
    cells += [[token_mask(layer, dst="document", src="query")] for layer in range(3)]
    naive = one_by_one(model, pairs, cells)
    seen = firsts(model)
    found = sweep(model, pairs, cells)
    assert set(seen) == {5}
    spread = naive.amax(dim=0) - naive.amin(dim=0)
    assert spread.min() > 0.1 and ((found - naive).abs() <= 2e-6 * spread).all()


@pytest.mark.parametrize("family", ["qwen3", "gemma"])
def test_behind_a_template_it_begins_at_the_document(family, firsts):
    model = load(language_model(family), tokenizer(), template=TEMPLATE, relevant=("yes", "no"))
    pairs = model.pair(*TEXTS)
    begins = int(pairs.where("document").int().argmax(dim=1).min())
    cells = [[shift(site.at(pos="document"))] for site in model.sites("z")]
    naive = one_by_one(model, pairs, cells)
    seen = firsts(model)
    found = sweep(model, pairs, cells)
    assert set(seen) == {begins} and begins > 10
    torch.testing.assert_close(found, naive, atol=1e-5, rtol=1e-5)


def test_models_that_read_both_ways_and_those_that_are_hooked_compute_whole_pairs(model, firsts):
    last = Site("resid_pre", 1).at(pos=6)
    seen = firsts(model)
    sweep(model, model.pair(*TEXTS), [shift(last)])
    decoder = load(*tiny("qwen3"))
    seen = firsts(decoder)
    with decoder.hooked(shift(Site("z", 0).at(head=0))):
        sweep(decoder, decoder.pair(*TEXTS), [shift(last)])
    assert set(seen) == {0}
