"""How a checkpoint lays a pair out where it is more than two texts: templates and chat templates.

A layout renders a query and a document to pieces of text, each tokenized apart, and says where in
them the query, the document and the instruction stand. All other tokens are `Segment.TEMPLATE`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from transformers import PreTrainedTokenizerBase

from ..pairs import Segment
from .checkpoint_files import blamed


FIELDS: Final = {
    "query": Segment.QUERY,
    "document": Segment.DOCUMENT,
    "instruction": Segment.INSTRUCTION,
}


class Part(NamedTuple):
    """Where one of the texts stands in a piece: its characters, and how many of its own precede."""

    segment: Segment
    start: int
    end: int
    skipped: int = 0  # characters of the text itself that the template trimmed at its beginning


class Piece(NamedTuple):
    """A text that is tokenized by itself, and the parts of it that are not the template's."""

    text: str
    parts: tuple[Part, ...] = ()


@runtime_checkable
class Layout(Protocol):
    """What a `PairTokenizer` asks of a layout."""

    def pieces(self, query: str, document: str) -> list[Piece]:
        """The pair as pieces of text, in order."""
        ...

    def plain_ids(self, tokenizer: PreTrainedTokenizerBase, query: str, document: str) -> list[int]:
        """The token ids alone, as the checkpoint's own code makes them."""
        ...


@dataclass(frozen=True)
class TextTemplate:
    """Pieces of text with places for {query}, {document} and {instruction}.

    Raises:
        ValueError: no place for the query or the document, several, or an instruction is wanted
            and not given.
    """

    written: tuple[str, ...]
    instruction: str | None = None

    def __post_init__(self) -> None:
        text = "".join(self.written)
        for name in ("query", "document"):
            if (n := text.count(f"{{{name}}}")) != 1:
                raise ValueError(
                    f"the template {text!r:.200} has {n} places for the {name}; expected one "
                    f"{{{name}}}"
                )
        if "{instruction}" in text and self.instruction is None:
            raise ValueError(
                f"the template {text!r:.200} has a place for an instruction: "
                "load(..., instruction=TEXT) gives it"
            )
        if self.instruction is not None and "{instruction}" not in text:
            raise ValueError(
                f"instruction={self.instruction!r:.60}: the template {text!r:.200} has no place "
                "for it, which is {instruction}; put one there or leave the instruction out"
            )

    def pieces(self, query: str, document: str) -> list[Piece]:
        """The pair as pieces of text, in order."""
        texts = {"query": query, "document": document, "instruction": self.instruction or ""}
        return [filled(piece, texts) for piece in self.written]

    def __str__(self) -> str:
        """The template as it is written, with its instruction."""
        return "".join(self.written).replace("{instruction}", self.instruction or "")

    def plain_ids(self, tokenizer: PreTrainedTokenizerBase, query: str, document: str) -> list[int]:
        """The ids of each piece by itself, one after the other."""
        fields = {"query": query, "document": document, "instruction": self.instruction or ""}
        found: list[int] = []
        for piece in self.written:
            text = re.sub(r"\{(query|document|instruction)\}", lambda m: fields[m[1]], piece)
            found += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found


def filled(piece: str, texts: Mapping[str, str]) -> Piece:
    """A piece with the texts in their places; braces around anything else stay as they are."""
    text, parts = "", []
    for i, each in enumerate(re.split(r"\{(query|document|instruction)\}", piece)):
        if i % 2:
            parts.append(Part(FIELDS[each], len(text), len(text) + len(texts[each])))
        text += texts[each] if i % 2 else each
    return Piece(text, tuple(parts))


# No tokenizer sees these: they stand for the texts while a chat template is rendered once.
MARKS: Final = {name: f"\ue000{name}\ue001" for name in FIELDS}


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """A chat template of messages with the roles system, query and document.

    As sentence-transformers renders pairs: `prompt` is the system message, if there is one, and
    `is_flat` says whether the content of a message is a text or a list of one.
    """

    tokenizer: PreTrainedTokenizerBase
    prompt: str | None = None
    is_flat: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frame = self.frame
        for name in ("query", "document"):
            if (n := frame.count(MARKS[name])) != 1:
                raise ValueError(
                    f"the chat template of {self.tokenizer.name_or_path or 'this tokenizer'} has "
                    f"{n} places for messages with the role {name!r}; expected one"
                )

    @cached_property
    def frame(self) -> str:
        """A rendered pair with marks in place of the texts."""
        prompt = MARKS["instruction"] if self.prompt else None
        return self._rendered(MARKS["query"], MARKS["document"], prompt)

    @property
    def reads_prompt(self) -> bool:
        """Whether the system message is rendered."""
        return MARKS["instruction"] in self.frame

    def __str__(self) -> str:
        """A rendered pair, with places for the texts."""
        text = self.frame.replace(MARKS["instruction"], self.prompt or "")
        for name in ("query", "document"):
            text = text.replace(MARKS[name], f"{{{name}}}")
        return text

    def _messages(self, query: str, document: str, prompt: str | None) -> list[dict[str, Any]]:
        texts = {"system": prompt, "query": query, "document": document}
        return [
            {"role": role, "content": text if self.is_flat else [{"type": "text", "text": text}]}
            for role, text in texts.items()
            if role != "system" or text
        ]

    def _rendered(self, query: str, document: str, prompt: str | None) -> str:
        messages = self._messages(query, document, prompt)
        with blamed(f"the chat template of {self.tokenizer.name_or_path} cannot render a pair"):
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **self.options))

    def pieces(self, query: str, document: str) -> list[Piece]:
        """The rendered pair, one piece.

        Raises:
            ValueError: the template changes a text in other ways than trimming it.
        """
        rendered = self._rendered(query, document, self.prompt)
        texts = {"query": query, "document": document, "instruction": self.prompt or ""}
        marked = re.split(f"({'|'.join(MARKS.values())})", self.frame)
        names = {mark: name for name, mark in MARKS.items()}
        # The template may trim the document, say, and not the query.
        for trims in product((False, True), repeat=len(texts)):
            is_trimmed = dict(zip(texts, trims, strict=True))
            text, parts = "", []
            for each in marked:
                if (name := names.get(each)) is not None:
                    own = texts[name].strip() if is_trimmed[name] else texts[name]
                    skipped = texts[name].find(own)
                    parts.append(Part(FIELDS[name], len(text), len(text) + len(own), skipped))
                    each = own
                text += each
            if text == rendered:
                return [Piece(text, tuple(parts))]
        raise ValueError(
            f"the chat template of {self.tokenizer.name_or_path} changes the text it renders, so "
            f"that its tokens have no place in the query or document: {query!r:.60}, "
            f"{document!r:.60}"
        )

    def plain_ids(self, tokenizer: PreTrainedTokenizerBase, query: str, document: str) -> list[int]:
        """The ids as the tokenizer's own method gives them."""
        messages = self._messages(query, document, self.prompt)
        ids: Any = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, **self.options
        )
        return list(ids)


@dataclass(frozen=True)
class Answer:
    """A causal language model's score: the logit of one token, or of one less another."""

    true: int
    false: int | None = None

    def check(self, n_vocabulary: int, where: str) -> "Answer":
        """The same answer, if the model has such tokens.

        Raises:
            ValueError: a token beyond the vocabulary, or one token for both.
        """
        for name, token in (("true", self.true), ("false", self.false)):
            if token is not None and not 0 <= token < n_vocabulary:
                raise ValueError(
                    f"{where}: the {name} token is number {token}; the model has {n_vocabulary}"
                )
        if self.true == self.false:
            raise ValueError(f"{where}: token {self.true} is the true and the false one")
        return self

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, words: Sequence[str | int]) -> "Answer":
        """The tokens that these words are: ("yes", "no"), or ("Yes",), or their numbers.

        Raises:
            ValueError: a word is no single token, or there are not one or two.
        """
        if not 1 <= len(words) <= 2:
            raise ValueError(f"relevant={words!r}: give one token, or the true and the false one")
        return cls(*(token_of(tokenizer, word) for word in words))


SPACES: Final = ("▁", "Ġ")  # how tokenizers write the space before a word, in the token's name


def framed(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, ...]:
    """A template between the special tokens that the tokenizer puts around every text."""
    whole, plain = (
        tokenizer("0", add_special_tokens=is_whole)["input_ids"] for is_whole in (True, False)
    )
    places = [i for i in range(len(whole)) if whole[i : i + len(plain)] == plain]
    if not places:
        raise ValueError(
            "the tokenizer changes a text between its special tokens, so that a template has no "
            "place there; give load(..., template=...) with those tokens written out"
        )
    first = places[0]
    names = [str(tokenizer.convert_ids_to_tokens(token)) for token in whole]
    before, after = "".join(names[:first]), "".join(names[first + len(plain) :])
    return tuple(
        piece
        for piece in (
            "" if template.startswith(before) else before,
            template,
            "" if template.endswith(after) else after,
        )
        if piece
    )


def token_of(tokenizer: PreTrainedTokenizerBase, word: str | int) -> int:
    """The number of the one token that `word` is."""
    if type(word) is int:
        return word
    if not isinstance(word, str):
        raise ValueError(
            f"relevant={word!r:.60}: give a word that is one token, or the number of a token; two "
            "of them as a list, the true one first"
        )
    if word.startswith(SPACES) and word in tokenizer.get_vocab():
        return tokenizer.get_vocab()[word]
    ids = tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        pieces = tokenizer.convert_ids_to_tokens(ids)
        raise ValueError(
            f"relevant={word!r} is no single token of this tokenizer, which makes {pieces} of it; "
            "give a word that is one, or the number of a token"
        )
    return int(ids[0])
