"""Tokens of one word stand together, special tokens apart, padding nowhere."""

from crosslens import CrossEncoder, Pairs, Segment
from crosslens.words import words_of


def test_words_cover_every_token_once_and_hold_their_text(model: CrossEncoder, pairs: Pairs):
    for i in range(len(pairs)):
        found = words_of(pairs, i)
        places = [place for _, _, tokens in found for place in tokens]
        assert places == list(range(int(pairs.lengths[i])))
        texts = pairs.words(i)
        query = [texts[tokens[0]] for segment, _, tokens in found if segment == Segment.QUERY]
        assert query == pairs.query[i].split()
        assert [segment for segment, _, _ in found].count(Segment.CLS) == 1
