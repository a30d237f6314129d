"""A real WordPiece tokenizer over a given vocabulary, framed as BERT frames its pairs."""

from collections.abc import Sequence
from typing import Final

from tokenizers import decoders, normalizers, pre_tokenizers, processors, Tokenizer
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast


PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
N_POSITIONS: Final = 512


INPUTS: Final = ("input_ids", "token_type_ids", "attention_mask")  # of a BERT


def tokenizer(pieces: Sequence[str], inputs: Sequence[str] = INPUTS) -> PreTrainedTokenizerFast:
    """Lower-cases, splits at spaces and punctuation, and takes the longest known pieces.

    `pieces` begin with the special tokens, and a piece's place is its id. `inputs` are what the
    model takes.
    """
    if tuple(pieces[: len(SPECIAL)]) != SPECIAL:
        raise ValueError(f"a vocabulary begins with {SPECIAL}; found {tuple(pieces[:5])}")
    ids = {piece: i for i, piece in enumerate(pieces)}
    if len(ids) < len(pieces):
        twice = sorted({piece for i, piece in enumerate(pieces) if ids[piece] != i})
        raise ValueError(f"pieces listed twice: {twice[:5]}")
    made = Tokenizer(WordPiece(ids, unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=N_POSITIONS,
        model_input_names=list(inputs),
    )
