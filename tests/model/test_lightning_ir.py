"""Cross-encoders of lightning-ir: read as they are computed there, or refused by name."""

import json

import pytest
import torch
from lightning_ir_checkpoints import by_hand, byte_pairs, encoder, FAMILIES, linear, write
from safetensors.torch import load_file, save_file
from torch import nn

from crosslens import Hook, load, patch


QUERIES = ["why do cats purr when they rest in town", "capital of france", "python"]
DOCUMENTS = ["cats purr when they rest .", "paris is the capital . " * 9, "a large snake"]


def scores(model):
    return model(model.pairs(QUERIES, DOCUMENTS)).detach()


def expected(model, tokenizer, out, **lengths):
    found = [
        by_hand(model, tokenizer, out, query, document, **lengths)
        for query, document in zip(QUERIES, DOCUMENTS, strict=True)
    ]
    return [ids for ids, _ in found], torch.stack([logits for _, logits in found])


def ids_of(pairs):
    return [
        ids[:length]
        for ids, length in zip(pairs.token.tolist(), pairs.lengths.tolist(), strict=True)
    ]


def tokens_are_where_they_say(model, pairs) -> None:
    """Every token of a text stands at its span, in the text as it was given."""
    tokenizer = model.tokens.tokenizer
    for i, texts in enumerate(zip(pairs.query, pairs.document, strict=True)):
        for kind, text in zip(("query", "document"), texts, strict=True):
            for place in pairs.where(kind)[i].nonzero().flatten().tolist():
                start, end = pairs.span[i, place].tolist()
                token = tokenizer.decode([int(pairs.token[i, place])]).strip().removeprefix("##")
                assert text[start:end].lower().strip() == token


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_encoder_and_linear_map(family, tmp_path):
    model, tokenizer = encoder(family)
    out = linear(model.config.hidden_size)
    found = load(write(tmp_path, model, tokenizer, out))
    ids, logits = expected(model, tokenizer, out)
    pairs = found.pairs(QUERIES, DOCUMENTS)
    assert ids_of(pairs) == ids
    assert logits.max() - logits.min() > 0.05
    torch.testing.assert_close(scores(found), logits[:, 0], rtol=0, atol=1e-5)
    assert pairs.cut[0] > 0 and pairs.cut[1] > 0 and pairs.cut[2] == 0
    tokens_are_where_they_say(found, pairs)
    _, uncut = expected(model, tokenizer, out, query_length=None)
    assert (uncut - logits)[0].abs() > 1e-4, "the control: how much is read is part of the score"


def test_an_encoder_that_reads_token_types_gets_them(tmp_path):
    """The file of its tokenizer, whose class transformers does not know, says nothing of them."""
    model, tokenizer = encoder("electra")
    folder = write(tmp_path, model, tokenizer, linear(24))
    assert "model_input_names" not in json.loads((folder / "tokenizer_config.json").read_text())
    pairs = load(folder).pairs(QUERIES, DOCUMENTS)
    assert set(pairs.token_type[pairs.where("document")].tolist()) == {1}


def test_what_was_saved_as_a_cross_encoder_scores_the_same(tmp_path):
    model, tokenizer = encoder("electra")
    mono = load(write(tmp_path / "mono", model, tokenizer, linear(24)))
    earlier = write(
        tmp_path / "earlier",
        model,
        tokenizer,
        linear(24),
        model_type="cross-encoder",
        scoring_strategy="absent",
        _bert_pool="absent",
    )
    assert torch.equal(scores(load(earlier)), scores(mono))


def test_two_logits_are_a_log_odds_whose_activation_is_its_log_softmax(tmp_path):
    model, tokenizer = encoder("bert")
    out = linear(24, 2, bias=True)
    nn.init.normal_(out.bias)
    found = load(write(tmp_path, model, tokenizer, out, scoring_strategy="mono"))
    _, logits = expected(model, tokenizer, out)
    torch.testing.assert_close(scores(found), logits[:, 1] - logits[:, 0], rtol=0, atol=1e-5)
    published = logits.log_softmax(dim=-1)[:, 1]
    torch.testing.assert_close(found.activated(scores(found)), published, rtol=0, atol=1e-5)


def test_a_score_of_one_logit_is_followed_by_nothing(tmp_path):
    found = load(write(tmp_path, *encoder("electra"), linear(24)))
    assert torch.equal(found.activated(scores(found)), scores(found))


@pytest.mark.parametrize("lengths", [(None, None), (3, 5), (6, 200)])
def test_lengths_are_those_of_config_json(lengths, tmp_path):
    model, tokenizer = encoder("electra")
    most = dict(zip(("query_length", "doc_length"), lengths, strict=True))
    found = load(write(tmp_path, model, tokenizer, linear(24), **most))
    ids, logits = expected(model, tokenizer, linear(24), **most)
    assert ids_of(found.pairs(QUERIES, DOCUMENTS)) == ids
    torch.testing.assert_close(scores(found), logits[:, 0], rtol=0, atol=1e-5)


def test_a_text_whose_decoded_tokens_are_others_is_refused_by_name(tmp_path):
    """A letter of two bytes, cut between them, is no letter when it is decoded."""
    model, _ = encoder("roberta")
    tokenizer = byte_pairs()
    n = len(tokenizer.encode("catsé", add_special_tokens=False)) - 1
    found = load(write(tmp_path, model, tokenizer, linear(24), query_length=n))
    query = "catsé purr"
    assert found.tokens.are_kept("query", [query, "cats purr"]) == [False, True]
    assert found.tokens.are_kept("document", [query]) == [True], "which is not cut there"
    with pytest.raises(ValueError, match=r"query of pair 1 is read otherwise than .* decodes"):
        found.pairs(["cats purr", query], ["a car", "a car"])


def test_methods_run_on_it(tmp_path):
    folder = write(tmp_path, *encoder("electra"), linear(24))
    model = load(folder)
    pairs = model.pairs(QUERIES, DOCUMENTS)
    with torch.no_grad(), model.record("z") as cache:
        plain = model(pairs)
    for unit in model.heads():
        with torch.no_grad(), model.hooked(patch(unit, cache)):
            torch.testing.assert_close(model(pairs), plain, rtol=0, atol=1e-5)
        with torch.no_grad(), model.hooked(Hook(unit, torch.zeros_like)):
            assert not torch.equal(model(pairs), plain)
    assert {each.dtype for each in load(folder, dtype="bf16").parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "settings, what",
    [
        ({"pooling_strategy": "mean"}, "pooling_strategy 'mean'; .* follows 'first' alone"),
        ({"scoring_strategy": "duo"}, "scoring_strategy 'duo'; .* follows 'rank' and 'mono'"),
        ({"_bert_pool": True}, "_bert_pool True"),
        ({"tokenizer_pattern": "{query} {doc}"}, "tokenizer_pattern '{query} {doc}'"),
        ({"use_adapter": True}, "use_adapter True"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"add_extra_token": True}, "declares add_extra_token True, which CrossLens does not"),
        ({"query_length": "absent"}, "does not say query_length, on which the score rests"),
        ({"doc_length": 0}, "doc_length is 0, expected a number of tokens or null"),
        ({"backbone_model_type": "t5"}, "on the backbone_model_type 't5'; .* on bert, electra"),
        ({"backbone_model_type": "absent"}, "on the backbone_model_type None"),
        (
            {"backbone_model_type": ["bert"]},
            r"its backbone_model_type is .*, expected a text",
        ),
        ({"architectures": ["MonoBertModel"]}, r"'MonoBertModel'\]; .* \['MonoElectraModel'\]"),
        ({"model_type": "mono-electra"}, "in a form that CrossLens does not follow"),
        ({"model_type": "set-encoder"}, "Set-Encoder of lightning-ir, listwise"),
        ({"hidden_size": "large"}, "makes no electra model"),
        ({"linear_bias": True}, "'linear.bias': .* its files hold {'linear.weight': "),
        ({"scoring_strategy": "mono"}, r"'linear.weight': \(2, 24\)}, its files hold"),
    ],
)
def test_a_setting_that_changes_a_score_is_followed_or_refused(settings, what, tmp_path):
    folder = write(tmp_path, *encoder("electra"), linear(24), **settings)
    with pytest.raises(ValueError, match=what):
        load(folder)


@pytest.mark.parametrize("name", ["bert_pool.0.weight", "electra.embeddings.LayerNorm.bias"])
def test_a_tensor_without_a_place_is_refused(name, tmp_path):
    folder = write(tmp_path, *encoder("electra"), linear(24))
    path = folder / "model.safetensors"
    tensors = load_file(path) | {"embeddings.position_ids": torch.arange(96)[None].float()}
    save_file(tensors, path, metadata={"format": "pt"})
    load(folder)  # the control: positions that older versions saved, which nothing reads
    save_file(tensors | {name: torch.ones(24)}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"the weights hold {name} and 0 more"):
        load(folder)


def test_a_missing_tensor_of_the_encoder_is_refused(tmp_path):
    folder = write(tmp_path, *encoder("electra"), linear(24))
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("embeddings.LayerNorm.bias")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no trained weights for \['embeddings.LayerNorm.bias'"):
        load(folder)


def test_a_template_is_refused(tmp_path):
    folder = write(tmp_path, *encoder("electra"), linear(24))
    with pytest.raises(ValueError, match="a cross-encoder of lightning-ir, which reads two texts"):
        load(folder, template="{query} : {document}")


def test_a_model_in_memory_is_refused_with_the_way_out():
    model, tokenizer = encoder("electra")
    model.__class__ = type("MonoElectraModel", (type(model),), {})
    with pytest.raises(ValueError, match="class of lightning-ir, .*save both in a folder"):
        load(model, tokenizer)
