"""Pairs are what the model's own tokenizer makes, and every token knows where it stands."""

import pandas as pd
import pytest
import torch
from tiny import BERT_LIKE, tiny, tokenizer
from tokenizers import decoders, normalizers, pre_tokenizers, Tokenizer
from tokenizers.models import Unigram, WordLevel
from transformers import PreTrainedTokenizerFast

from crosslens import load, Segment
from crosslens.model.tokens import PairTokenizer


QUERY = "why do cats purr"
DOCUMENT = "the engine of a car , and the cats of the town , purr when they rest ."


def tokens(limit: int = 96, truncation: str = "longest_first") -> PairTokenizer:
    return PairTokenizer(tokenizer(BERT_LIKE), limit, truncation)


def test_every_family_has_the_same_segments(any_model):
    pairs = any_model.pair(QUERY, "cats purr", "paris")
    c, q, s, d, e, p = (
        Segment.CLS,
        Segment.QUERY,
        Segment.SEP1,
        Segment.DOCUMENT,
        Segment.SEP2,
        Segment.PAD,
    )
    between = [s, s] if "roberta" in any_model.cfg.family else [s]
    assert pairs.segment.tolist() == [
        [c, *[q] * 4, *between, d, d, e],
        [c, *[q] * 4, *between, d, e, p],
    ]
    assert pairs.attended.tolist() == (pairs.segment != p).tolist()


def test_tokens_mask_and_sentence_ids_are_the_tokenizers_own(any_model):
    theirs = any_model.tokens.tokenizer(
        [QUERY, "paris"],
        [DOCUMENT, "cats"],
        padding=True,
        return_tensors="pt",
    )
    ours = any_model.pairs([QUERY, "paris"], [DOCUMENT, "cats"])
    assert torch.equal(ours.token, theirs["input_ids"])
    assert torch.equal(ours.attended.long(), theirs["attention_mask"])
    none = torch.zeros_like(ours.token)  # what a model makes of token types it is not given
    assert torch.equal(ours.token_type, theirs.get("token_type_ids", none))


def test_words_and_spans_lead_back_to_the_text():
    document = "Cats purr, when xyz rest"  # xyz is spelt letter by letter
    pairs = tokens()([QUERY], [document])
    there = pairs.where("document")[0]
    spans = pairs.span[0][there].tolist()
    pieces = [document[start:end] for start, end in spans]
    assert pieces == ["Cats", "purr", ",", "when", "x", "y", "z", "rest"]
    assert pairs.word[0][there].tolist() == [0, 1, 2, 3, 4, 4, 4, 5]
    words = pairs.words(0)
    assert words[:1] == ["[CLS]"] and words[-1] == "[SEP2]"
    assert words[6:14] == ["Cats", "purr", ",", "when", "xyz", "xyz", "xyz", "rest"]
    assert (pairs.word[0] == -1).tolist() == [word.startswith("[") for word in words]


def metaspace() -> PreTrainedTokenizerFast:
    """As XLM-RoBERTa and DeBERTa-v3 write tokens: the space belongs to the word after it."""
    pieces = [("<unk>", 0.0), ("\u2581cats", -1.0), ("\u2581pur", -2.0), ("r", -2.0)]
    made = Tokenizer(Unigram(pieces, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<unk>")


def byte_level() -> PreTrainedTokenizerFast:
    """As ModernBERT writes them."""
    made = Tokenizer(WordLevel({"<unk>": 0, "cats": 1, "\u0120purr": 2}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<unk>")


@pytest.mark.parametrize("made", [metaspace, byte_level])
def test_the_space_before_a_word_is_no_part_of_it(made):
    pairs = PairTokenizer(made(), 20)(["cats"], ["cats  purr"])
    there = pairs.where("document")[0].nonzero().flatten().tolist()
    words = [pairs.words(0)[i] for i in there]
    assert set(words) == {"cats", "purr"} or set(words) == {"cats", "", "purr"}
    starts = ["cats  purr"[slice(*pairs.span[0, i].tolist())] for i in there]
    assert not any(text.startswith(" ") for text in starts)


@pytest.mark.parametrize("truncation", ["longest_first", "only_second"])
@pytest.mark.parametrize("limit", [12, 14, 19])
def test_truncation_is_the_tokenizers_own_and_is_counted(truncation, limit):
    short = "cats purr"
    queries, documents = [QUERY, QUERY, DOCUMENT[:24]], [DOCUMENT, short, DOCUMENT]
    pairs = tokens(limit, truncation)(queries, documents)
    theirs = tokenizer(BERT_LIKE)(queries, documents, truncation=truncation, max_length=limit)
    whole = tokenizer(BERT_LIKE)(queries, documents)
    for i, ids in enumerate(theirs["input_ids"]):
        assert pairs.token[i][pairs.attended[i]].tolist() == ids
        assert pairs.cut[i] == len(whole["input_ids"][i]) - len(ids)
    assert pairs.cut[0] > 0 == pairs.cut[1]
    assert int(pairs.lengths.max()) == limit


def test_only_second_keeps_the_query_and_longest_first_may_not():
    long = " ".join([QUERY] * 4)
    kept = tokens(24, "only_second")([long], [DOCUMENT]).where("query").sum()
    shared = tokens(24)([long], [DOCUMENT]).where("query").sum()
    assert kept == 16 > shared


def test_a_query_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match="query of pair 1 leaves no room .* 7 of 7 tokens"):
        tokens(7, "only_second")(["paris", QUERY], ["cats", "cats"])
    assert tokens(8, "only_second")([QUERY], [DOCUMENT]).where("document").sum() == 1


def test_roberta_counts_its_positions_from_behind_the_padding_index():
    original, its_tokenizer = tiny("roberta", max_position_embeddings=20)
    its_tokenizer.model_max_length = 512  # what a tokenizer says is not what the table holds
    model = load(original, its_tokenizer)
    assert model.cfg.n_positions == 20 - original.config.pad_token_id - 1
    pairs = model.pair(QUERY, DOCUMENT)
    assert pairs.token.shape[1] == 19 and pairs.cut.item() > 0
    theirs = original(input_ids=pairs.token, attention_mask=pairs.attended.long()).logits[:, 0]
    torch.testing.assert_close(model(pairs), theirs, rtol=0, atol=1e-6)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "queries, documents, message",
    [
        ([QUERY, " "], ["cats", "cats"], r"empty query in pairs \[1\]"),
        ([QUERY], ["\n\t"], r"empty document in pairs \[0\]"),
        ([QUERY], ["cats", "cats"], "1 queries for 2 documents"),
        ([], [], "no pairs: give at least one"),
    ],
)
def test_nothing_to_score_is_refused(queries, documents, message):
    with pytest.raises(ValueError, match=message):
        tokens()(queries, documents)


def test_a_text_of_which_no_token_is_left_is_refused():
    made = tokens()
    made.tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer()
    for kind, texts in (("query", (["\x07"], ["cats"])), ("document", (["cats"], ["\x07"]))):
        with pytest.raises(ValueError, match=rf"the {kind} of pairs \[0\] holds no token"):
            made(*texts)


def test_a_token_without_embedding_is_named():
    original, its_tokenizer = tiny("bert", vocab_size=len(tokenizer(BERT_LIKE)))
    its_tokenizer.add_tokens(["covid"])
    model = load(original, its_tokenizer)
    n = len(model.W_E)
    with pytest.raises(ValueError, match=f"pair 1 holds the token 'covid', number {n}, .* for {n}"):
        model.pairs([QUERY, QUERY], [DOCUMENT, "covid"])


def test_a_tokenizer_without_padding_has_no_padding_token():
    made = tokens()
    assert made.pad_token_id == 0
    made.tokenizer.pad_token = None
    with pytest.raises(ValueError, match="has no padding token"):
        _ = made.pad_token_id


def test_an_unknown_truncation_is_refused():
    with pytest.raises(ValueError, match="truncation='only_first'; it is one of"):
        tokens(20, "only_first")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("text", [None, float("nan"), 7, b"cats", ["cats"]])
def test_what_is_no_text_is_named(model, text):
    with pytest.raises(TypeError, match=r"the document of pair 1 is .*, expected a text"):
        model.score("cats", ["cats purr", text])
    with pytest.raises(TypeError, match=r"the query of pair 0 is .*, expected a text"):
        model.pair(text, "cats purr")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("documents", ["cats purr", b"cats", None, 7])
def test_one_text_in_place_of_several_is_refused(model, documents):
    with pytest.raises(TypeError, match="the document texts are .*: give a list of texts"):
        model.score("cats", documents)


def test_half_of_a_surrogate_pair_is_named(model):
    with pytest.raises(ValueError, match=r"document of pair 0 holds '\\ud83d' at character 5"):
        model.score("cats", ["cats \ud83d"])


def test_columns_of_a_data_frame_are_lists_of_texts(model):
    frame = pd.DataFrame({"query": ["cats", "dogs"], "text": ["cats purr", "a car"]}, index=[5, 9])
    assert model.pairs(frame["query"], frame["text"]).document == ("cats purr", "a car")


@pytest.mark.parametrize(
    "text", ["\u200b", "\x00", "\u202ecats", "a" * 100_000, "\U0001f638 cats", "ﷺ", "\ufeff cats"]
)
def test_any_text_is_scored_or_refused_clearly(model, text):
    try:
        assert torch.isfinite(model.score("cats purr", [text])).all()
    except ValueError as error:
        assert "document" in str(error)
