"""Words close in meaning: from a list, or from a model's own word embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .edits import tokens_inside


# Written for CrossLens: terms that queries are likely to hold, each with another word for it.
LISTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        term: other
        for term, _, other in (
            pair.partition("/")
            for pair in """
        automobile/car car/automobile doctor/physician physician/doctor illness/disease
        disease/illness cost/price price/cost costs/expenses salary/wage wage/salary pay/wages
        buy/purchase purchase/buy begin/start start/begin end/finish large/big big/large
        small/little quick/fast fast/rapid definition/meaning meaning/definition define/explain
        symptoms/signs signs/symptoms treatment/therapy therapy/treatment cure/remedy
        medicine/drug medication/drug drug/medicine cancer/tumor heart/cardiac kidney/renal
        lawyer/attorney attorney/lawyer law/statute house/home home/house children/kids
        kids/children job/occupation work/labor city/town town/city country/nation
        nation/country movie/film film/movie picture/image error/mistake mistake/error
        sick/ill teacher/instructor student/pupil road/street street/road ocean/sea sea/ocean
        stone/rock rock/stone woods/forest forest/woods weather/climate rain/precipitation
        temperature/heat food/meals dinner/supper meat/flesh dog/hound cat/feline cats/felines
        dogs/hounds horse/pony computer/machine internet/web phone/telephone company/firm
        firm/company money/cash cash/money tax/levy insurance/coverage bank/lender loan/credit
        war/conflict battle/combat president/leader king/monarch pain/ache sleep/slumber
        tired/fatigued angry/furious happy/glad difference/distinction famous/renowned
        test/exam exam/test airport/airfield airplane/aircraft
        """.split()
        )
    }
)


def are_inflections(one: str, other: str) -> bool:
    """Whether two words may be forms of one, judged by what they begin with."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared >= min(len(one), len(other), 5) or shared >= 0.7 * min(len(one), len(other))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest word in an embedding matrix, by cosine: `Neighbours(tokenizer, W_E)`.

    Only whole words of one token are proposed, and no form of the term itself. A term of
    several tokens stands where the mean of their embeddings does. What is near in an embedding
    matrix is used alike, not always alike in meaning: antonyms are near too.
    """

    tokenizer: PreTrainedTokenizerBase
    embedding: Float[Tensor, "token d_model"]
    _known: dict[tuple[str, ...], tuple[list[str], Float[Tensor, "word d_model"]]] = field(
        default_factory=dict, repr=False
    )

    def __call__(self, term: str, words: Sequence[str]) -> str | None:
        """The nearest of `words`, or None if none may be proposed."""
        whole, rows = self._whole(tuple(words))
        if not whole:
            return None
        with torch.no_grad():
            own = self.embedding[self._ids(term)].mean(dim=0)
            near = rows @ torch.nn.functional.normalize(own, dim=0)
        order = near.argsort(descending=True, stable=True).tolist()
        return next((whole[i] for i in order if not are_inflections(term, whole[i])), None)

    def _whole(self, words: tuple[str, ...]) -> tuple[list[str], Float[Tensor, "word d_model"]]:
        """Those of `words` that are one token, and their directions."""
        if words not in self._known:
            ids = [(word, self._ids(word)) for word in words]
            unknown = self.tokenizer.unk_token_id
            single = [(word, i[0]) for word, i in ids if len(i) == 1 and i[0] != unknown]
            with torch.no_grad():
                rows = self.embedding[[i for _, i in single]]
                rows = torch.nn.functional.normalize(rows, dim=-1)
            self._known[words] = [word for word, _ in single], rows
        return self._known[words]

    def _ids(self, word: str) -> list[int]:
        return tokens_inside(self.tokenizer, word)
