"""Random checkpoints of every family, small enough to build in milliseconds."""

from types import MethodType
from typing import Any

import torch
from tokenizers import pre_tokenizers, processors, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from torch import nn, Tensor
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    EuroBertConfig,
    EuroBertForSequenceClassification,
    Gemma2Config,
    Gemma2ForSequenceClassification,
    GemmaConfig,
    GemmaForSequenceClassification,
    GteConfig,
    GteForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    NomicBertConfig,
    NomicBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    Qwen3Config,
    Qwen3ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaXLConfig,
    XLMRobertaXLForSequenceClassification,
)


WORDS = """
why do cats purr when they rest the engine of a car and town what is capital france paris
largest city in how long sleep bananas are rich potassium python large snake dog bark river
""".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz.,"
SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 20,
    "max_position_embeddings": 96,
    "num_labels": 1,
}


def tokenizer(
    special: tuple[str, str, str, str],
    separators: int = 1,
    has_types: bool = True,
    *,
    pad_id: int = 0,
) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer that frames pairs with this family's special tokens."""
    pad, cls, sep, unk = special
    first = [cls, pad] if pad_id else [pad, cls]
    pieces = [*first, sep, unk, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(WordPiece(vocab, unk_token=unk))
    made.normalizer = Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    between = f" {sep}" * separators
    made.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A{between} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        cls_token=cls,
        sep_token=sep,
        unk_token=unk,
        model_max_length=96,
        model_input_names=["input_ids", *["token_type_ids"] * has_types, "attention_mask"],
    )


BERT_LIKE = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
ROBERTA_LIKE = ("<pad>", "<s>", "</s>", "<unk>")
N_VOCAB = 2 * len(LETTERS) + len(WORDS) + 4

FAMILIES = (
    "bert",
    "electra",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "modernbert",
    "modernbert-mean",
    "deberta-v2",
)
AND_DECODER = (*FAMILIES, "qwen3")
# Decoders, of which Qwen3 stands for all where a family costs time: grouped queries, windows in
# some layers, and heads wider than the stream over their number.
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
DECODERS = {
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification, {"use_sliding_window": True}),
    "qwen3": (Qwen3Config, Qwen3ForSequenceClassification, {"use_sliding_window": True}),
    "llama": (LlamaConfig, LlamaForSequenceClassification, {"mlp_bias": True}),
    "mistral": (MistralConfig, MistralForSequenceClassification, {}),
    "gemma": (GemmaConfig, GemmaForSequenceClassification, {}),
    "gemma2": (
        Gemma2Config,
        Gemma2ForSequenceClassification,
        {"query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0},
    ),
}


# BERT's kin that differ from the families above in one or two places each.
NO_PAD = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
KIN = {
    "albert": (
        AlbertConfig,
        AlbertForSequenceClassification,
        {"embedding_size": 16, "num_hidden_groups": 2, "hidden_act": "gelu"},
    ),
    "mpnet": (
        MPNetConfig,
        MPNetForSequenceClassification,
        {"relative_attention_num_buckets": 32, "pad_token_id": 1},
    ),
    "xlm-roberta-xl": (
        XLMRobertaXLConfig,
        XLMRobertaXLForSequenceClassification,
        {"type_vocab_size": 1, "pad_token_id": 0},
    ),
    "nomic_bert": (NomicBertConfig, NomicBertForSequenceClassification, NO_PAD),
    "gte": (GteConfig, GteForSequenceClassification, NO_PAD),
    "eurobert": (
        EuroBertConfig,
        EuroBertForSequenceClassification,
        NO_PAD | {"num_key_value_heads": 2, "classifier_pooling": "bos"},
    ),
    "eurobert-mean": (
        EuroBertConfig,
        EuroBertForSequenceClassification,
        NO_PAD | {"classifier_pooling": "mean"},
    ),
}


def config(family: str, **changes):
    """A small configuration of `family`, with the traits that set it apart."""
    size = SMALL | {"vocab_size": N_VOCAB} | changes
    if family in DECODERS:
        of_family, _, traits = DECODERS[family]
        special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        windows = {"sliding_window": 9, "max_window_layers": 1} if family != "llama" else {}
        grouped = GROUPED if family != "qwen2" else {"num_key_value_heads": 2}
        return of_family(**(special | windows | grouped | traits | size))
    if family in KIN:
        of_family, _, traits = KIN[family]
        return of_family(**(traits | size))
    if family == "bert":
        return BertConfig(**size)
    if family == "electra":
        return ElectraConfig(**size, embedding_size=16)
    if family == "roberta":
        return RobertaConfig(**size, type_vocab_size=1, pad_token_id=0)
    if family == "xlm-roberta":
        return XLMRobertaConfig(**size, type_vocab_size=1, pad_token_id=0)
    if family == "distilbert":
        return DistilBertConfig(
            vocab_size=N_VOCAB,
            dim=size["hidden_size"],
            n_layers=size["num_hidden_layers"],
            n_heads=size["num_attention_heads"],
            hidden_dim=size["intermediate_size"],
            max_position_embeddings=size["max_position_embeddings"],
            num_labels=size["num_labels"],
        )
    if family.startswith("modernbert"):
        return ModernBertConfig(
            **size,
            classifier_pooling="mean" if family.endswith("mean") else "cls",
            local_attention=8,
            global_attn_every_n_layers=2,
            pad_token_id=0,
            cls_token_id=1,
            sep_token_id=2,
            bos_token_id=1,
            eos_token_id=2,
        )
    return DebertaV2Config(
        **size,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
    )


CLASSES = {
    "bert": BertForSequenceClassification,
    "electra": ElectraForSequenceClassification,
    "roberta": RobertaForSequenceClassification,
    "xlm-roberta": XLMRobertaForSequenceClassification,
    "distilbert": DistilBertForSequenceClassification,
    "modernbert": ModernBertForSequenceClassification,
    "modernbert-mean": ModernBertForSequenceClassification,
    "deberta-v2": DebertaV2ForSequenceClassification,
    **{family: classifier for family, (_, classifier, _) in (DECODERS | KIN).items()},
}


def tiny(family: str, seed: int = 0, **changes) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A random sequence classifier of `family` in which every site matters."""
    torch.manual_seed(seed)
    model = CLASSES[family](config(family, **changes)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)
            else:
                is_big = family.startswith("modernbert") and name.startswith("classifier")
                value.mul_(1 if is_big else 4 if "embeddings" in name else 8)  # scores near 1
    roberta = "roberta" in family
    special = ROBERTA_LIKE if roberta else BERT_LIKE
    has_types = getattr(model.config, "type_vocab_size", 0) > 1
    pad_id = int(family == "mpnet")  # whatever its config.json says
    return model, tokenizer(special, 1 + roberta, has_types, pad_id=pad_id)


def exact_norms(original: nn.Module) -> None:
    """Let the norms of decoders and T5, which round to float32, keep float64."""

    def forward(self: Any, x: Tensor) -> Tensor:
        eps = getattr(self, "variance_epsilon", None) or self.eps
        normed = x * (x.square().mean(dim=-1, keepdim=True) + eps).rsqrt()
        return normed * (self.weight + ("Gemma" in type(self).__name__))

    for module in original.modules():
        if type(module).__name__.endswith(("RMSNorm", "T5LayerNorm")):
            module.forward = MethodType(forward, module)
