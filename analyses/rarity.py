"""Where an analysis takes IDF from: the collection itself, or a table counted in a larger one."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from crosslens import Collection, CrossEncoder
from crosslens.idf import idf_direction, IdfDirection, TokenIdf


@runtime_checkable
class Counted(Protocol):
    """Options that may name a table of document frequencies."""

    @property
    def df(self) -> Path | None: ...
    @property
    def df_documents(self) -> int | None: ...


def rarity(options: Counted, model: CrossEncoder, collection: Collection) -> TokenIdf:
    """The IDF of the model's tokens, by the table given or else by the collection's documents.

    Raises:
        ValueError: one of --df and --df-documents without the other, or the file is no table of
            numbers by word piece.
    """
    if (options.df is None) != (options.df_documents is None):
        raise ValueError(
            f"--df is {options.df} and --df-documents {options.df_documents}; the one needs the "
            "other: a table of counts, and the number of documents that they are out of"
        )
    tokenizer = model.tokens.tokenizer
    if options.df is None or options.df_documents is None:
        return TokenIdf.of_documents(tokenizer, collection.documents.values())
    return TokenIdf.of_df(
        tokenizer, table(options.df), options.df_documents, source=str(options.df)
    )


def table(path: Path) -> Mapping[str, int]:
    """The document frequencies in the file."""
    raw = path.read_bytes()
    try:
        found = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no JSON, or damaged: {error}") from None
    if not isinstance(found, dict) or not all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for count in found.values()
    ):
        raise ValueError(f"{path} is no table of document frequencies: word piece to count")
    return found


class Stored(NamedTuple):
    """IDF as the embeddings have it, and what is stored there: IDF itself, or its logarithm."""

    direction: IdfDirection
    values: Float[Tensor, " id"]
    is_log: bool


def stored(model: CrossEncoder, idf: TokenIdf) -> Stored:
    """Along the direction that goes best with IDF or its logarithm, on tokens held out."""
    plain, log = (idf_direction(model.W_E, each) for each in (idf, idf.log()))
    if log.r > plain.r:
        return Stored(log, log.values.exp(), True)
    return Stored(plain, plain.values, False)
