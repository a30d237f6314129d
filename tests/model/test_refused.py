"""Rerankers that are known and not loaded: the error says what each is."""

import json

import pytest
from encoder_decoders import encoder_decoder, tokenizer as t5_tokenizer
from language_models import language_model, tokenizer
from saved import reconfigure, save
from tiny import tiny

from crosslens import load


LISTWISE = "no pair has a score of its own"
DECLARED = {
    "jina-v3": ({"architectures": ["JinaForRanking"], "model_type": "qwen3"}, LISTWISE),
    "set-encoder": (
        {"architectures": ["SetEncoderElectraModel"], "model_type": "set-encoder"},
        f"Set-Encoder of lightning-ir.*{LISTWISE}",
    ),
    "monoelectra": (
        {"architectures": ["MonoElectraModel"], "model_type": "mono-electra"},
        "a cross-encoder of lightning-ir in a form that CrossLens does not follow",
    ),
    "umt5": (
        {"architectures": ["UMT5ForConditionalGeneration"], "model_type": "umt5"},
        "a UMT5, whose blocks have a position bias each",
    ),
    "layerwise": (
        {"architectures": ["LayerWiseMiniCPMForCausalLM"], "model_type": "minicpm"},
        "a head for every layer",
    ),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_a_config_declares_is_named(tmp_path, name):
    declared, what = DECLARED[name]
    save(tmp_path, *tiny("bert"))
    reconfigure(tmp_path, **declared)
    with pytest.raises(ValueError, match=f"config.json declares '.*{what}"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["rank_zephyr_7b_v1_full", "RankVicuna", "first_mistral"])
def test_a_language_model_that_orders_documents_is_refused_by_name(tmp_path, name):
    folder = save(tmp_path / name, language_model("qwen3"), tokenizer())
    with pytest.raises(ValueError, match=f"compares or orders documents: .*{LISTWISE}"):
        load(folder)
    load(folder, template="{query} ? {document}", relevant="yes")  # which says how it judges one


def test_an_encoder_decoder_that_compares_two_documents_is_refused_by_name(tmp_path):
    folder = save(tmp_path / "duot5-base-msmarco", encoder_decoder(), t5_tokenizer())
    with pytest.raises(ValueError, match="compares or orders documents"):
        load(folder)


@pytest.mark.parametrize("is_whole", [False, True])
def test_an_adapter_is_refused_with_the_way_to_merge_it(tmp_path, is_whole):
    if is_whole:  # beside its base model, which is not what was trained
        save(tmp_path, *tiny("bert"))
    given = {"peft_type": "LORA", "base_model_name_or_path": "some/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(given))
    with pytest.raises(ValueError, match="adapter of PEFT to 'some/base'; merge it"):
        load(tmp_path)
