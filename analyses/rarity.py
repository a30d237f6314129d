"""Where an analysis takes IDF from: the collection itself, or a table counted in a larger one."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from crosslens import Collection, CrossEncoder
from crosslens.idf import idf_direction, IdfDirection, TokenIdf


@runtime_checkable
class FrequencyTable(Protocol):
    """The options of a table of document frequencies; see `rarity`."""

    @property
    def df(self) -> Path | None: ...
    @property
    def df_documents(self) -> int | None: ...


def rarity(given: FrequencyTable, model: CrossEncoder, collection: Collection) -> TokenIdf:
    """The IDF of the model's tokens, by the table given or else by the collection's documents."""
    tokenizer = model.tokens.tokenizer
    if given.df is None:
        return TokenIdf.of_documents(tokenizer, collection.documents.values())
    if given.df_documents is None:
        raise ValueError(f"--df {given.df} needs --df-documents: the N that its counts are out of")
    return TokenIdf.of_df(tokenizer, table(given.df), given.df_documents, source=str(given.df))


def table(path: Path) -> Mapping[str, int]:
    """What the file holds."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


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
