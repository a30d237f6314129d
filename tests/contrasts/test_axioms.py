"""The builders: aligned, drawn by seed, and felt by BM25 as their axiom says."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tokenizers import decoders, models, pre_tokenizers, processors, Tokenizer, trainers
from transformers import PreTrainedTokenizerFast

from crosslens.contrasts.axioms import Axioms, PLACES
from crosslens.contrasts.catalogue import AXIOMS, contrasts
from crosslens.contrasts.roles import NAMES
from crosslens.model.tokens import PairTokenizer
from crosslens.signals.frequency import tokenize


CLOSE = {"cats": "dog", "capital": "city", "python": "snake", "potassium": "bark", "zebra": "dog"}
N = 5


def built(axioms: Axioms, n: int = N):
    """Every contrast there is."""
    controls = [
        axioms.tfc1(n, control=True),
        axioms.stmc1(n, control=True),
        axioms.tdc(n, control=True),
        *axioms.saturation(n, control=True),
    ]
    return [each for axiom in AXIOMS.values() for each in axiom.build(axioms, n)] + controls


@pytest.fixture
def axioms(model, cats):
    return Axioms(model, cats, synonyms=CLOSE)


def reader(kind: str, texts: list[str]):
    """A tokenizer that marks the space before a word, as GPT's and SentencePiece's do."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if kind == "byte-level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
    )
    tokens = PairTokenizer(fast, 96)
    return SimpleNamespace(tokens=tokens, pairs=tokens)


def assert_aligned(contrast):
    base, more = contrast.base, contrast.more
    differs = base.token != more.token
    inside = base.where("D_inj")
    assert base.token.shape == more.token.shape
    assert (base.segment == more.segment).all() and (base.role == more.role).all()
    assert not (differs & ~inside).any()
    assert (differs.any(dim=1)).all() and base.where("Q+").any(dim=1).all()
    assert (base.cut == 0).all() and (more.cut == 0).all()
    assert (sum(base.where(name).int() for name in NAMES) == 1).all()
    for i, minimal in enumerate(contrast.minimal):
        assert base.query[i] == more.query[i] == minimal.query
        assert (base.document[i], more.document[i]) == (minimal.base, minimal.more)
        assert minimal.term in tokenize(minimal.query)


def test_every_builder_aligns_token_by_token(any_model, cats):
    made = built(Axioms(any_model, cats, synonyms=CLOSE), 3)
    assert len(made) > 20
    for contrast in made:
        assert_aligned(contrast)


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_tokenizers_that_mark_spaces_align_too(kind, cats):
    model = reader(kind, [*cats.queries.values(), *cats.documents.values(), "a a a a a"] * 3)
    for contrast in built(Axioms(model, cats, synonyms=CLOSE), 4):
        assert_aligned(contrast)
        assert len(contrast) == 4


def test_the_same_seed_gives_the_same_pairs_and_another_others(model, cats):
    one, two, other = (
        [each.minimal for each in built(Axioms(model, cats, seed, CLOSE), 2)] for seed in (3, 3, 4)
    )
    assert one == two
    assert one != other


def test_a_larger_contrast_begins_with_the_smaller(model, cats):
    axioms = Axioms(model, cats, synonyms=CLOSE)
    for few, many in zip(built(axioms, 2), built(axioms, 4), strict=True):
        assert many.minimal[:2] == few.minimal


def test_one_document_of_every_query_comes_before_a_second(model, cats):
    made = Axioms(model, cats).tfc1(4)
    assert {each.qid for each in made.minimal} == set(cats.queries)


# --- what each edit is -----------------------------------------------------------------


@pytest.mark.parametrize("prepend", [False, True])
def test_tfc1_adds_one_occurrence_at_the_end_it_says(axioms, prepend):
    for each in axioms.tfc1(N, prepend=prepend).minimal:
        base, more = tokenize(each.base), tokenize(each.more)
        assert more.count(each.term) == base.count(each.term) + 1
        assert (more[0] if prepend else more[-1]) == each.term
        document = axioms.collection.documents[each.docid]
        assert document in each.more and document in each.base
        others = set(more) - {each.term, *tokenize(each.injected[0][0])}
        assert all(base.count(word) == more.count(word) for word in others)


def test_the_selected_term_is_the_rarest_of_the_query(axioms):
    for each in axioms.tfc1(N).minimal:
        words = [word for word in tokenize(each.query) if len(word) > 1]
        assert axioms.idf(each.term) == max(map(axioms.idf, words))


def test_the_filler_is_no_term_of_the_query(axioms):
    for each in axioms.tfc1(12).minimal:
        (filler,) = each.injected[0]
        assert set(tokenize(filler)).isdisjoint(tokenize(each.query))
        assert set(filler.split()) == ({"the"} if each.qid == "q3" else {"a"})


def test_stmc1_adds_the_close_word_and_no_query_term(axioms):
    for each in axioms.stmc1(N).minimal:
        assert tokenize(each.more)[-1] == CLOSE[each.term]
        assert set(tokenize(each.injected[1][0])).isdisjoint(tokenize(each.query))


def test_tfc2_holds_none_to_five_occurrences_over_one_base(axioms):
    series = axioms.saturation(N)
    for k, contrast in enumerate(series, start=1):
        assert contrast.signal == f"TFC2-{k}"
        assert (contrast.base.token == series[0].base.token).all()
        for each in contrast.minimal:
            assert tokenize(each.base).count(each.term) == 0
            assert tokenize(each.more).count(each.term) == k
    assert axioms.tfc2(N, 3).minimal == series[2].minimal


def test_more_occurrences_than_five_places_stay_filler(model, cats):
    made = Axioms(model, cats).saturation(12)
    (seven,) = [i for i, each in enumerate(made[0].minimal) if each.docid == "q1-2"]
    assert tokenize(cats.documents["q1-2"]).count("cats") == 6
    assert tokenize(made[-1].minimal[seven].more).count(made[-1].minimal[seven].term) == PLACES


def test_lnc2_adds_sentences_of_other_queries_that_match_nothing(axioms):
    texts = axioms.collection.documents
    for i, contrast in enumerate(axioms.irrelevance(N), start=1):
        assert contrast.signal == f"LNC2-{i}"
        for each in contrast.minimal:
            (added,) = each.injected[1]
            assert set(tokenize(added)).isdisjoint(tokenize(each.query))
            own = " ".join(texts[d] for d in axioms.collection.candidates[each.qid])
            assert added not in own
            assert any(added.startswith(text[:12]) or text[:12] in added for text in texts.values())


def test_tdc_sets_a_common_term_against_a_rare_one(axioms):
    for each in axioms.tdc(N).minimal:
        (common,), (rare,) = each.injected
        query = set(tokenize(each.query))
        assert rare.split()[0] == each.term and common.split()[0] in query
        assert axioms.idf(rare.split()[0]) > axioms.idf(common.split()[0])


# --- how BM25 responds -----------------------------------------------------------------


@pytest.fixture
def change(model, by_tokens):
    score = by_tokens(model)
    return lambda contrast: score(contrast.more) - score(contrast.base)


def test_bm25_rises_with_a_match_and_with_a_rarer_one(axioms, change):
    for contrast in (axioms.tfc1(N), axioms.tfc1(N, prepend=True), axioms.tdc(N)):
        assert (change(contrast) > 1e-3).all()


def test_bm25_saturates(axioms, change):
    rises = torch.stack([torch.zeros(N).double(), *map(change, axioms.saturation(N))]).diff(dim=0)
    assert (rises > 0).all()
    assert (rises.diff(dim=0) < 0).all()


def test_bm25_does_not_react_to_soft_matches_irrelevance_or_controls(axioms, change):
    silent = [axioms.stmc1(N), *axioms.irrelevance(N), axioms.control(N)]
    silent += [axioms.tfc1(N, control=True), axioms.stmc1(N, control=True)]
    silent += [axioms.tdc(N, control=True), *axioms.saturation(N, control=True)]
    for contrast in silent:
        assert change(contrast).abs().max() < 1e-9, contrast.signal


def test_bm25_falls_with_length_where_there_is_something_to_lose(model, axioms, by_tokens):
    score = by_tokens(model)
    series = axioms.lengthened(12)
    assert len(series) == 5
    lengths = torch.stack([pairs.lengths for pairs in series])
    assert (lengths.diff(dim=0) > 0).all()
    scores = torch.stack([score(pairs) for pairs in series])
    matches = scores[0] > 0
    assert matches.any() and not matches.all()
    assert (scores.diff(dim=0)[:, matches] < 0).all()
    assert (scores[:, ~matches] == 0).all()


def test_lengthened_begins_with_the_documents_as_they_are(axioms):
    alone = axioms.lengthened(N)[0]
    assert set(alone.document) <= set(axioms.collection.documents.values())
    assert alone.where("Q+").any(dim=1).all() and not alone.where("D_inj").any()


# --- too long, and too bad -------------------------------------------------------------


def test_a_document_is_shortened_before_the_edit_and_counted(model, cats):
    long = {
        docid: text + " " + "they sleep and rest. " * 40 for docid, text in cats.documents.items()
    }
    many = Axioms(model, replace(cats, documents=long), synonyms=CLOSE)
    for contrast in [many.tfc1(N), many.tfc1(N, prepend=True), many.tdc(N), *many.saturation(N)]:
        assert_aligned(contrast)
        assert contrast.n_shortened == N
    assert all(each.more.startswith(long[each.docid][:10]) for each in many.tfc1(N).minimal)
    assert Axioms(model, cats).tfc1(N).n_shortened == 0


def test_a_query_that_leaves_no_room_is_counted(model, cats):
    full = replace(cats, queries={**cats.queries, "q1": "cats zebra " * 20})
    assert Axioms(model, full).tfc1(9).skipped == {"too long even when shortened": 3}


def test_a_chosen_term_is_used_and_one_that_is_not_there_refused(model, cats):
    made = Axioms(model, cats, terms={"q1": "purr", "q2": "the"}).tfc1(12)
    assert {each.term for each in made.minimal if each.qid == "q1"} == {"purr"}
    assert {each.term for each in made.minimal if each.qid == "q2"} == {"the"}
    with pytest.raises(ValueError, match="'dog' is no term of query 'q1', whose terms are why"):
        Axioms(model, cats, terms={"q1": "dog"})
    with pytest.raises(LookupError, match="query 'q9', which collection 'cats' lacks"):
        Axioms(model, cats, terms={"q9": "dog"})


def test_no_pair_at_all_says_why(model, cats):
    with pytest.raises(
        ValueError, match="no pair for STMC1 in collection 'cats': 12 without a word close"
    ):
        Axioms(model, cats, synonyms={}).stmc1(3)
    unread = replace(cats, queries={qid: "! ?" for qid in cats.queries})
    with pytest.raises(ValueError, match="12 without a query term that the model reads"):
        Axioms(model, unread).tfc1(3)
    with pytest.raises(ValueError, match=r"3 whose query holds every filler \(a\)"):
        Axioms(model, replace(cats, candidates={"q3": cats.candidates["q3"]}), fillers=("a",)).tfc1(
            1
        )
    one = replace(cats, queries={qid: "cats" for qid in cats.queries})
    with pytest.raises(ValueError, match="12 without a rare and a common query term"):
        Axioms(model, one).tdc(3)
    with pytest.raises(ValueError, match="3 without sentences of other queries' documents"):
        Axioms(model, replace(cats, candidates={"q1": cats.candidates["q1"]})).lnc2(3)


def test_numbers_outside_the_axiom_are_refused(model, cats):
    axioms = Axioms(model, cats)
    with pytest.raises(ValueError, match="1 to 5 occurrences, not 6"):
        axioms.tfc2(3, 6)
    with pytest.raises(ValueError, match="1 to 4 sentences, not 0"):
        axioms.lnc2(3, 0)
    with pytest.raises(ValueError, match="at least one pair, not 0"):
        axioms.tfc1(0)
    with pytest.raises(ValueError, match="'zebra' takes"):
        Axioms(model, cats, fillers=("zebra",)).tfc1(1)


# --- all of them by name ---------------------------------------------------------------


def test_contrasts_are_made_by_name(model, cats):
    made = contrasts(model, cats, ["TFC1", "TFC2", "LNC2", "TDC", "control"], n=3, seed=1)
    assert [each.signal for each in made] == [
        "TFC1",
        *(f"TFC2-{k}" for k in range(1, 6)),
        *(f"LNC2-{i}" for i in range(1, 5)),
        "TDC",
        "control",
    ]
    assert made[0].minimal == Axioms(model, cats, 1).tfc1(3).minimal
    with pytest.raises(LookupError, match="no signal is called 'TFC9'; did you mean .*TFC1"):
        contrasts(model, cats, ["TFC9"])


def test_words_near_in_the_embeddings_serve_as_synonyms(model, cats):
    asked = []

    def near(term, words):
        asked.append(term)
        return "river" if "river" not in cats.queries.values() else None

    (made,) = contrasts(model, cats, ["STMC1"], n=3, near=near)
    assert asked and all(each.injected[1][0].split()[0] == "river" for each in made.minimal)
