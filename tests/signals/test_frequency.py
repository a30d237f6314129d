import math

import pytest

from crosslens.signals.frequency import (
    Frequencies,
    idf_lucene,
    idf_robertson,
    term_counts,
    tokenize,
)


DOCUMENTS = [["cats", "purr", "cats"], ["dogs", "bark"], ["cats", "and", "dogs", "sleep"]]


def test_words_are_lower_cased_runs_of_letters_and_digits_in_any_script() -> None:
    assert tokenize("Don't panic: COVID-19, naïve Ärzte и кошки!") == (
        ["don", "t", "panic", "covid", "19", "naïve", "ärzte", "и", "кошки"]
    )
    assert tokenize(" … !") == []


def test_a_document_counts_once_however_often_it_repeats_a_term() -> None:
    known = Frequencies.of(DOCUMENTS)
    assert known.n_documents == 3
    assert known.df == {"cats": 2, "purr": 1, "dogs": 2, "bark": 1, "and": 1, "sleep": 1}
    assert known.mean_length == 3.0
    assert term_counts(DOCUMENTS[0]) == {"cats": 2, "purr": 1}


def test_terms_may_be_token_ids() -> None:
    assert Frequencies.of([[7, 7, 8], [8]]).df == {7: 1, 8: 2}


def test_rarer_terms_have_a_higher_idf_and_unseen_ones_the_highest() -> None:
    known = Frequencies.of(DOCUMENTS)
    assert known.idf("unicorns") > known.idf("purr") > known.idf("cats") > 0
    assert known.idf("cats") == math.log(1 + 1.5 / 2.5)
    assert known.idf("cats", idf_robertson) == math.log(1.5 / 2.5)


def test_only_robertsons_idf_is_negative_for_a_term_in_most_documents() -> None:
    assert idf_robertson(9, 10) < 0 < idf_lucene(9, 10)


@pytest.mark.parametrize("documents", [[], [[], []]])
def test_no_term_is_refused(documents: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="need a document with a term"):
        Frequencies.of(documents)


def test_more_documents_with_a_term_than_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="in 5 documents of a collection of 4"):
        Frequencies(4, {"cats": 5}, 3.0)


def test_a_text_is_not_taken_for_a_sequence_of_letters() -> None:
    with pytest.raises(TypeError, match="cut it with `tokenize`"):
        Frequencies.of(["cats purr"])


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("हिन्दी भाषा", 2),
        ("İzmir", 1),
        ("re\u0301sume\u0301", 1),
        ("می\u200cروم خانه", 2),
        ("a\u200cb", 1),
    ],
)
def test_a_word_with_marks_is_one_term(text: str, n: int) -> None:
    assert len(tokenize(text)) == n


def test_words_that_look_alike_are_the_same_term() -> None:
    assert tokenize("cafe\u0301s") == tokenize("CAFÉS") == ["cafés"]
    assert tokenize("ﬁne Straße １２") == ["fine", "strasse", "12"]
    assert tokenize(tokenize("İstanbul")[0]) == tokenize("İstanbul")
