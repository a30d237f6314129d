"""Identity codes: a direction for every token, no two of them alike.

The codewords of the Reed-Muller code RM(2, 5): 65,536 words of 32 bits of which any two
differ in at least 8 (MacWilliams and Sloane, 1977, chapter 13). With bits as signs, no two
directions have a cosine above 1/2, for any vocabulary; random directions that close would
need several times the dimensions.
"""

from itertools import combinations
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from .tokenizer import SPECIAL, UNKNOWN
from .vocabulary import Lexicon


VARIABLES, DEGREE = 5, 2
N_CODE: Final = 2**VARIABLES
MONOMIALS: Final = [m for d in range(DEGREE + 1) for m in combinations(range(VARIABLES), d)]
MOST_CODES: Final = 2 ** len(MONOMIALS)
MARKS: Final = {*SPECIAL} - {UNKNOWN}  # not terms; an unknown character is one like any other
CLOSEST: Final = 1 - 2 * 2 ** (VARIABLES - DEGREE) / N_CODE  # the largest cosine of two codes


def codes(n: int, generator: torch.Generator) -> Float[Tensor, "n code"]:
    """`n` different unit vectors, drawn from the code without replacement."""
    if n > MOST_CODES:
        raise ValueError(f"{n:,} tokens need a code each; there are {MOST_CODES:,}")
    point = (torch.arange(N_CODE)[:, None] >> torch.arange(VARIABLES)) & 1
    rows = torch.stack([point[:, list(m)].prod(dim=1) for m in MONOMIALS])
    message = torch.randperm(MOST_CODES, generator=generator)[:n]
    bits = (message[:, None] >> torch.arange(len(MONOMIALS))) & 1
    # counts up to 16 are exact in float32, and its matrix product is the fast one
    parity = (bits.float() @ rows.float()) % 2
    return (1 - 2 * parity) / N_CODE**0.5


def coded_terms(
    lexicon: Lexicon, seed: int
) -> tuple[list[int], Float[Tensor, "term code"], Float[Tensor, " term"]]:
    """The ids of all pieces that are terms, their codes and their IDF: synonyms share both."""
    place_of = {piece: i for i, piece in enumerate(lexicon.pieces)}
    terms = {i: lexicon.term(piece) for piece, i in place_of.items() if piece not in MARKS}
    drawn = codes(len(lexicon.pieces), torch.Generator().manual_seed(seed))
    code = drawn[[place_of[term] for term in terms.values()]]
    idf = torch.tensor([lexicon.frequencies.idf(term) for term in terms.values()])
    return list(terms), code, idf
