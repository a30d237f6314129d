"""Queries, documents and judgements, from the formats they are published in.

`collection` holds the value, `reading` makes one from a name or a folder (`trec`, `beir`,
`catalogue`), `candidates` decides what is ranked for each query, `readable` leaves out what a model
cannot read, and `files` turns every way a file can be broken into an error with its name and line.
"""

from .readable import Readable, readable
from .sentences import ORDERS, sentences


__all__ = ["ORDERS", "Readable", "readable", "sentences"]
