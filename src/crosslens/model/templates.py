"""The prompts that published rerankers were trained with, by their names.

For checkpoints whose files do not say how a pair is laid out, or which tokens are the answer. The
strings are functional: they match what the authors' code feeds to the character.
"""

import re
from dataclasses import dataclass
from typing import Final

from transformers import PreTrainedTokenizerBase

from .layouts import framed, TextTemplate


@dataclass(frozen=True)
class Prompt:
    """The template of one published reranker.

    `written` are pieces of text that are tokenized apart; `instructed` are those with an
    instruction, where a model reads one. `answer` is the true token and the false one, or the
    true one alone; a classifier has none. One that `is_framed` stands between the special tokens
    that the tokenizer puts around every text.
    """

    name: str  # a pattern for the name of the checkpoint, whoever published it
    family: str
    written: tuple[str, ...]
    answer: tuple[str | int, ...]
    max_length: int
    instructed: tuple[str, ...] | None = None
    instruction: str | None = None  # the default
    is_framed: bool = False

    def layout(self, tokenizer: PreTrainedTokenizerBase, instruction: str | None) -> TextTemplate:
        """The template with the default instruction, or another.

        Raises:
            ValueError: this model reads no instruction.
        """
        instruction = self.instruction if instruction is None else instruction
        if instruction is None:
            framed_by = framed(tokenizer, "".join(self.written)) if self.is_framed else self.written
            return TextTemplate(framed_by)
        pieces = self.written if self.instruction is not None else self.instructed
        if pieces is None:
            raise ValueError(
                f"instruction={instruction!r}: the prompt of this reranker has no place for one"
            )
        return TextTemplate(pieces, instruction)


_CHATML: Final = "<|im_end|>\n<|im_start|>assistant\n"
_JUDGE: Final = (
    "You are a search relevance expert who evaluates how well documents match search queries. For "
    "each query-document pair, carefully analyze the semantic relationship between them, then "
    "provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
_QWEN2: Final = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n"
)
_CONTEXTUAL: Final = (
    "Check whether a given document contains information helpful to answer the query.\n"
    "<Document> {document}\n<Query> {query}"
)

# NVIDIA's, of its rerankers on Llama 3.2.
QUESTION: Final = "question:{query} \n \n passage:{document}"

# monoT5's, which its multilingual kin answer with other tokens; the tokenizer ends every text so.
MONO: Final = "Query: {query} Document: {document} Relevant:"

PROMPTS: Final = (
    Prompt(
        name=r"qwen3-reranker",
        family="qwen3",
        written=(
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the "
            'Query and the Instruct provided. Note that the answer can only be "yes" or "no".'
            "<|im_end|>\n<|im_start|>user\n",
            "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}",
            f"{_CHATML}<think>\n\n</think>\n\n",
        ),
        instruction="Given a web search query, retrieve relevant passages that answer the query",
        answer=("yes", "no"),
        max_length=8192,
    ),
    Prompt(
        name=r"mxbai-rerank-(base|large)-v2",
        family="qwen2",
        written=(_QWEN2, "query: {query}", "\n", "document: {document}", "\n", _JUDGE, _CHATML),
        instructed=(
            _QWEN2,
            "instruction: {instruction}\nquery: {query}",
            "\n",
            "document: {document}",
            "\n",
            _JUDGE,
            _CHATML,
        ),
        answer=("1", "0"),
        max_length=8192,
    ),
    Prompt(
        name=r"zerank-2",
        family="qwen3",
        written=("<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}" + _CHATML,),
        answer=("Yes",),
        max_length=32768,
    ),
    Prompt(
        name=r"ctxl-rerank-v2",
        family="qwen3",
        written=(_CONTEXTUAL + " ??",),
        instructed=(_CONTEXTUAL + " {instruction} ??",),
        answer=(0,),
        max_length=32768,
    ),
    *(
        Prompt(name, family, (text, "</s>"), answer, 512)
        for name, family, text, answer in (
            (r"monot5|inranker", "t5", MONO, ("▁true", "▁false")),
            (r"rankt5", "t5", "Query: {query} Document: {document}", ("<extra_id_10>",)),
            (r"^ptt5-.*msmarco", "t5", MONO, ("▁sim", "▁não")),
            (r"^mt5-base-.*marco", "mt5", MONO, ("▁yes", "▁no")),
            (r"^mt5-(3b|13b)-mmarco", "mt5", MONO, ("▁true", "▁")),
        )
    ),
    Prompt(
        name=r"nemotron-rerank|nv-rerankqa",
        family="llama_bidirec",
        written=(QUESTION,),
        answer=(),
        max_length=8192,
        is_framed=True,
    ),
    Prompt(
        name=r"bge-reranker-v2-gemma",
        family="gemma",
        written=(
            "<bos>",
            "A: {query}",
            "\n",
            "B: {document}",
            "\n",
            "Given a query A and a passage B, determine whether the passage contains an answer to "
            "the query by providing a prediction of either 'Yes' or 'No'.",
        ),
        answer=("Yes",),
        max_length=1024,
    ),
)


def prompt_of(name: str, family: str) -> Prompt | None:
    """The prompt of the published reranker called `name`, a hub id or folder, if it is known."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
    return next((p for p in PROMPTS if p.family == family and re.search(p.name, last)), None)
