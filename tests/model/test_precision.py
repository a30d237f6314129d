"""Weights in 16 bit: read when asked, scored in float32, compared as strictly as any."""

import copy

import pytest
import torch
from encoder_decoders import encoder_decoder, MONO, tokenizer as t5_tokenizer
from language_models import language_model, tokenizer as qwen_tokenizer
from saved import save
from tiny import DECODERS, FAMILIES, KIN, tiny

from crosslens import load, plant, Site
from crosslens.model import load as loading, parity
from crosslens.model.families import bert
from crosslens.model.precision import HALVES, InFloat32, precision


QUERY = "why do cats purr"
DOCUMENTS = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")
CHAT = {"template": "{query} ? {document} :", "relevant": ("yes", "no")}
KINDS = {
    "encoder": (lambda: tiny("bert"), {}),
    "decoder": (lambda: tiny("qwen3"), {}),
    "language model": (lambda: (language_model("qwen3"), qwen_tokenizer()), CHAT),
    "encoder-decoder": (
        lambda: (encoder_decoder("t5-1.1"), t5_tokenizer()),
        {"template": MONO, "relevant": ("true", "false")},
    ),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """A folder with a checkpoint in float32, and how it is loaded."""
    make, options = KINDS[request.param]
    return save(tmp_path, *make()), options


@pytest.mark.parametrize("dtype", ["bfloat16", "bf16", torch.bfloat16])
def test_files_are_read_in_the_precision_wished_and_scores_are_float32(kind, dtype):
    folder, options = kind
    exact, model = load(folder, **options), load(folder, dtype=dtype, **options)
    assert model.dtype == torch.bfloat16 and exact.dtype == torch.float32
    assert all(block.attn.q.weight.dtype == torch.bfloat16 for block in model.blocks)
    pairs = model.pair(QUERY, *DOCUMENTS)
    with model.record("z", "logits") as cache:
        model(pairs)
    scores = model(pairs)
    assert cache[Site("z", 1)].dtype == torch.bfloat16
    assert cache[Site("logits")].dtype == scores.dtype == torch.float32
    assert torch.equal(model.score(QUERY, DOCUMENTS), scores)
    assert model.activated(scores).dtype == torch.float32
    expected = exact(pairs)
    spread = (expected[0] - expected[1]).abs().item()
    assert 0 < (scores - expected).abs().max().item() < 0.2 * max(spread, 1)


@pytest.mark.parametrize("dtype", ["float32", "fp32", torch.float32])
def test_float32_is_what_is_read_unasked(kind, dtype):
    folder, options = kind
    plain, asked = load(folder, **options), load(folder, dtype=dtype, **options)
    pairs = plain.pair(QUERY, *DOCUMENTS)
    assert torch.equal(plain(pairs), asked(pairs))


def test_scores_do_not_tie_where_16_bit_would(tmp_path):
    """The last map of a large bias: bfloat16 has steps of 1 there, float32 of a millionth."""
    original, tokenizer = tiny("bert")
    with torch.no_grad():
        original.classifier.bias.fill_(200.0)
    save(tmp_path, original, tokenizer)
    model = load(tmp_path, dtype="bfloat16")
    documents = [f"cats {word}" for word in ("sleep", "rest", "purr", "bark", "are", "in")]
    scores = model.score(QUERY, documents)
    assert len(scores.unique()) == len(documents)
    assert len(scores.bfloat16().unique()) < len(documents)


@pytest.mark.parametrize("dtype", HALVES)
def test_the_answer_of_a_language_model_is_a_difference_in_float32(dtype):
    model, words = language_model("qwen3").to(dtype), qwen_tokenizer()
    yes, no = (
        model.get_output_embeddings().weight[words.convert_tokens_to_ids(w)]
        for w in CHAT["relevant"]
    )
    found = load(model, words, dtype=dtype, **CHAT).head.out.weight
    assert torch.equal(found[0], yes.float() - no.float())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("family", [*FAMILIES, *KIN, *DECODERS])
@torch.no_grad()
def test_16_bit_weights_in_float32_arithmetic_are_the_float32_model(family, dtype):
    original, tokenizer = tiny(family)
    original.to(dtype)
    inputs = tokenizer([QUERY] * 2, list(DOCUMENTS), padding=True, return_tensors="pt")
    plain = original(**inputs).logits
    with InFloat32():
        wide = original(**inputs).logits
    assert plain.dtype == dtype and wide.dtype == torch.float32
    assert {weight.dtype for weight in original.parameters()} == {dtype}
    expected = copy.deepcopy(original).float()(**inputs).logits
    torch.testing.assert_close(wide, expected, rtol=0, atol=1e-6)
    assert (plain - expected).abs().max() > 1e-5  # the control
    model = load(original, tokenizer)
    assert model(model.pair(QUERY, *DOCUMENTS)).dtype == torch.float32


def test_what_is_written_in_place_stays_written():
    half = torch.zeros(2, dtype=torch.bfloat16)
    with InFloat32():
        half.add_(1)
        half[0] = 3
    assert half.tolist() == [3, 1]


@pytest.mark.parametrize("dtype", HALVES)
def test_a_small_fault_is_caught_in_16_bit_too(dtype, monkeypatch):
    """Segment ids that hardly matter: less than 16 bit round, and wrong all the same."""

    original, tokenizer = tiny("bert")
    with torch.no_grad():
        table = original.bert.embeddings.token_type_embeddings.weight
        table.copy_(table[:1] + 2e-3 * torch.randn_like(table))
    original.to(dtype)
    load(original, tokenizer)  # the control

    class OneKind(torch.nn.Module):
        def __init__(self, types):
            super().__init__()
            self.types = types

        def forward(self, kind):
            return self.types(torch.zeros_like(kind))

    def confused(model):
        parts = bert.parts(model)
        parts.embedding.token_types = OneKind(parts.embedding.token_types)
        return parts

    monkeypatch.setitem(loading.FAMILIES, "bert", confused)
    with pytest.raises(RuntimeError, match="its own forward pass in float32.* in a logit"):
        load(original, tokenizer)
    monkeypatch.setattr(parity, "HALVES", ())  # the rounding of 16 bit alone would hide it
    load(original, tokenizer)


def test_a_model_in_memory_is_of_its_own_precision():
    original, tokenizer = tiny("bert")
    assert load(original, tokenizer, dtype="fp32").dtype == torch.float32
    match = (
        r"in memory with weights of torch.float32, .*model.to\(torch.bfloat16\), or leave dtype="
    )
    with pytest.raises(ValueError, match=match):
        load(original, tokenizer, dtype="bf16")
    with pytest.raises(ValueError, match=match):
        load(plant("bm25"), dtype="bf16")
    original.bert.encoder.layer[0].half()
    with pytest.raises(ValueError, match="weights of torch.float16 and torch.float32"):
        load(original, tokenizer, dtype="fp32")
    assert (
        original.dtype == torch.float32
        and original.bert.encoder.layer[0].attention.self.query.weight.dtype == torch.float16
    )


@pytest.mark.parametrize("wished", ["int8", "float64", torch.float64, torch.int8])
def test_a_precision_in_which_weights_are_not_read_is_refused(wished):
    with pytest.raises(ValueError, match=r"dtype=.*: weights are read as float32, bfloat16 \(bf16"):
        precision(wished)


def test_a_t5_in_float16_is_refused_as_transformers_keeps_a_part_in_float32(tmp_path):
    save(tmp_path, encoder_decoder(), t5_tokenizer())
    options = {"template": MONO, "relevant": ("true", "false")}
    with pytest.raises(ValueError, match=r"keeps .*\.wo\.weight .*give dtype='bfloat16'"):
        load(tmp_path, dtype="float16", **options)
    assert load(tmp_path, dtype="bfloat16", **options).dtype == torch.bfloat16


def test_the_embedded_reranker_is_read_in_16_bit_too():
    assert load(dtype="bf16").dtype == torch.bfloat16


def test_an_original_that_overflows_in_float16_says_so(tmp_path):
    original, tokenizer = tiny("bert")
    with torch.no_grad():  # float16 ends at 65504; the norm behind makes small numbers of large
        original.bert.encoder.layer[0].output.dense.weight.copy_(torch.full((24, 20), 5e4))
        original.bert.encoder.layer[0].output.dense.weight[::2] = 0
    save(tmp_path, original, tokenizer)
    load(tmp_path, dtype="bf16")
    with pytest.raises(ValueError, match="activations overflow torch.float16; load it in float32"):
        load(tmp_path, dtype="fp16")


def test_weights_that_float16_cannot_hold_are_refused(tmp_path):
    original, tokenizer = tiny("bert")
    with torch.no_grad():
        original.classifier.bias.fill_(1e5)
    save(tmp_path, original, tokenizer)
    with pytest.raises(ValueError, match="numbers in classifier.bias are nan or infinite"):
        load(tmp_path, dtype="fp16")
