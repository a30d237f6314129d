"""The original of a hooked model: read from files, or taken from memory as the user gave it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import nn, Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from .checkpoint_files import blamed, CheckpointFiles, gist
from .declared import (
    Chat,
    chat_options,
    Declared,
    declared,
    declared_activation,
    declared_answer,
    default_prompt,
    LOGIT_SCORE,
    processing_options,
    refuse_prompt,
)
from .families import ANSWERING, FAMILIES
from .families.decoder import DECODERS
from .families.t5 import check_output_map, ENCODER_DECODERS
from .layouts import Answer, ChatTemplate, framed, Layout, TextTemplate
from .lightning_ir import is_lightning_ir, lightning_ir, Mono
from .modular import stages_in_files, stages_of, Tail, tail
from .own_code import own_code
from .precision import check_read
from .refused import refuse_adapter, refuse_known, refuse_several
from .templates import MONO, prompt_of, QUESTION
from .weights import check_places, check_sizes, check_tensors, stored_tensors


FRAMED: Final = (*ENCODER_DECODERS, "llama_bidirec")  # whose tokenizer frames a prompt
RELATIVE: Final = ("relative_key", "relative_key_query")  # positions of BERT and its kin
LANGUAGE_MODELS: Final = ("ForCausalLM", "ForConditionalGeneration")


@dataclass(frozen=True)
class Original:
    """What the user gave: a classifier or a bare encoder with a tail, and its tokenizer."""

    name: str
    model: Any  # a PreTrainedModel; its own attributes differ from family to family
    tokenizer: PreTrainedTokenizerBase
    declared: Declared
    tail: Tail | None = None  # of a modular cross-encoder
    predict: Callable[[list[tuple[str, str]]], Tensor] | None = None  # its own, without activation
    layout: Layout | None = None  # None: the two texts of its tokenizer
    answer: Answer | None = None  # of a causal language model
    max_length: int | None = None  # of a published prompt

    @property
    def modules(self) -> list[nn.Module]:
        """All that holds weights."""
        return [self.model, *([] if self.tail is None else [self.tail.hidden, self.tail.out])]

    def plain_ids(self, query: str, document: str) -> list[int]:
        """The token ids of a pair, as the checkpoint's own code makes them of its layout."""
        assert self.layout is not None
        return self.layout.plain_ids(self.tokenizer, query, document)

    @property
    def n_labels(self) -> int:
        if self.answer is not None:
            return 1
        return self.model.config.num_labels if self.tail is None else self.tail.out.out_features


@dataclass(frozen=True)
class Wish:
    """What the caller of `load` says of a prompt."""

    template: str | None = None
    instruction: str | None = None
    relevant: Any = None  # tokens, where the model is a language model


def from_files(
    name: str, tokenizer: PreTrainedTokenizerBase | None, wish: Wish, dtype: torch.dtype
) -> Original:
    """The cross-encoder called `name`, with a trained head, from disk or the hub, as `dtype`.

    Raises:
        ValueError: it is no cross-encoder of a supported family, a file is missing or damaged,
            or a file declares what CrossLens does not follow. The message names the file.
    """
    files = CheckpointFiles(name)
    refuse_adapter(files)
    if files.find("config.json") is None:
        raise ValueError(
            f"no checkpoint at {name!r}: neither a local folder with a config.json nor a model "
            "the hub would give"
        )
    raw, where = files.json("config.json"), f"{name}/config.json"
    check_names(where, raw)
    refuse_known(where, raw)
    own = lightning_ir(where, raw) or own_code(raw)
    if own is not None:
        raw = own.settings(where, raw)
    mono = own if isinstance(own, Mono) else None
    check_kind(where, raw)
    says = declared(files, raw)
    if mono is not None:
        says = replace(says, activation=mono.activation, modules=(), texts=mono.lengths)
    is_bare = mono is not None or bool(says.modules)
    architectures = raw.get("architectures") or ["...ForSequenceClassification"]
    if not isinstance(architectures, list):
        raise ValueError(f"{where}: architectures is {architectures!r}, expected a list")
    for architecture in architectures:
        check_architecture(
            where,
            str(architecture),
            raw["model_type"],
            is_modular=is_bare,
            is_answer=says.answer is not None,
        )
    kind = str(architectures[0])
    stored = stored_tensors(files)
    if own is not None:
        stored = own.stored(name, stored)
    check_sizes(name, raw, stored)
    reader: Any = AutoModel if says.modules else AutoModelForSequenceClassification
    if kind.endswith(LANGUAGE_MODELS):
        is_pair = raw["model_type"] in ENCODER_DECODERS
        reader = AutoModelForSeq2SeqLM if is_pair else AutoModelForCausalLM
        if is_pair:
            check_output_map(name, raw, stored)
    with blamed(f"{where} makes no {raw['model_type']} model"):
        if own is not None:
            reader, config = own.model, own.config(**raw)
        else:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        with torch.device("meta"):
            empty = reader._from_config(config) if own else reader.from_config(config)
    check_tensors(name, empty, stored)
    if own is not None:
        check_places(name, empty, stored)
    with blamed(f"the weights of {name} cannot be read"), without_reports():
        model, loading = reader.from_pretrained(
            None if own else name,
            config=config,
            state_dict=own.tensors(files, dtype) if own else None,
            output_loading_info=True,
            dtype=dtype,
            trust_remote_code=False,
        )
    check_read(name, model, dtype)
    # What a tail reads is the last hidden state, without BERT's pooler.
    missing = sorted(
        key for key in loading["missing_keys"] if not (is_bare and key.startswith("pooler."))
    )
    if missing:
        raise ValueError(
            f"{name} has no trained weights for {missing}: its head would "
            "be random and its scores noise; give a checkpoint that was fine-tuned to rerank"
        )
    end = None
    if says.modules:
        end = tail(name, stages_in_files(files, says.modules, dtype), config.hidden_size)
    if mono is not None:
        end = mono.tail(files, dtype)
    if tokenizer is None:
        tokenizer = its_tokenizer(files, config, len(model.get_input_embeddings().weight))
        if mono is not None:
            mono.give_types(files, tokenizer)
    found = Original(name, model.requires_grad_(False), tokenizer, says, end)
    return laid_out(found, wish, answers=kind.endswith(LANGUAGE_MODELS))


def laid_out(original: Original, wish: Wish, *, answers: bool) -> Original:
    """The original with its prompt and its answer: the caller's, its files', or its name's.

    `answers` says that it is a language model.

    Raises:
        ValueError: a language model of which neither says how a pair is laid out or which tokens
            are the answer; a template that cannot be followed.
    """
    name, tokenizer, says = original.name, original.tokenizer, original.declared
    known = None
    if not says.is_laid_out:
        known = prompt_of(name, original.model.config.model_type)
    silent = [
        what
        for what, is_said in (
            ("template", wish.template or says.is_laid_out or known),
            ("relevant", wish.relevant is not None or says.answer or known),
        )
        if answers and not is_said
    ]
    if silent:
        refuse_several(name)
        raise ValueError(
            f"{name} is a language model that does not say how it judges a pair; load(..., "
            f"{usual_wish(original.model.config.is_encoder_decoder)}) gives what it was trained "
            f"with; {' and '.join(silent)} missing"
        )
    layout: Layout | None = None
    if wish.template is not None and says.texts is not None:
        raise ValueError(
            f"template={wish.template!r}: {name} is a cross-encoder of lightning-ir, which reads "
            "two texts, each cut to a length of its own; leave it out"
        )
    if wish.template is not None:
        # An encoder reads a text as its tokenizer frames it; a language model's prompt is whole.
        is_framed = original.model.config.model_type in FRAMED
        pieces = framed(tokenizer, wish.template) if is_framed else (wish.template,)
        layout = TextTemplate(pieces, wish.instruction)
    elif says.chat is not None:
        prompt = says.chat.prompt if wish.instruction is None else wish.instruction
        layout = chat = ChatTemplate(tokenizer, prompt, says.chat.is_flat, says.chat.options)
        if wish.instruction and not chat.reads_prompt:
            raise ValueError(
                f"instruction={wish.instruction!r:.60}: the chat template of {name} leaves out the "
                "system message, which it would be"
            )
    elif known is not None:
        layout = known.layout(tokenizer, wish.instruction)
    elif wish.instruction is not None:
        raise ValueError(
            f"instruction={wish.instruction!r}: {name} reads two texts and no instruction; "
            "template= may have a place for it"
        )
    if layout is None and original.model.config.model_type == "llama_bidirec":
        raise ValueError(
            f"{name} does not say how it lays out a pair, which its own code leaves to its users; "
            "load(..., template=...) gives what it was trained with, as the published "
            f"llama-nemotron-rerank with {QUESTION!r}"
        )
    if layout is None and getattr(tokenizer, "chat_template", None) and not says.is_laid_out:
        refuse_template(name)
    answer, n_vocabulary = None, len(original.model.get_input_embeddings().weight)
    if answers:
        answer = says.answer
        words = wish.relevant if wish.relevant is not None else known and known.answer
        if words is not None and (wish.relevant is not None or answer is None):
            words = list(words) if isinstance(words, list | tuple) else [words]
            answer = Answer.of(tokenizer, words)
        assert answer is not None
        answer = answer.check(n_vocabulary, name)
    longest = known.max_length if known is not None and wish.template is None else None
    return replace(original, layout=layout, answer=answer, max_length=longest)


def usual_wish(is_encoder_decoder: bool) -> str:
    """What the caller has to say of a prompt, in the words of a published reranker."""
    if is_encoder_decoder:
        return f'template="{MONO}", relevant=("true", "false") as monoT5'
    return 'template="... {query} ... {document} ...", relevant=("yes", "no")'


def supported() -> str:
    """The families, by the `model_type` of a config.json."""
    return ", ".join(FAMILIES | ANSWERING)


@contextmanager
def without_reports() -> Iterator[None]:
    """Keep transformers from printing a progress bar and a table: what is wrong is an error."""
    verbosity, is_shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if is_shown:
            logging.enable_progress_bar()


def check_names(where: str, config: Mapping[str, Any]) -> None:
    """Refuse a config.json in which the name of a family is no text."""
    for key in ("model_type", "backbone_model_type"):
        if not isinstance(found := config.get(key), str | None):
            raise ValueError(
                f"{where}: its {key} is {found!r}, expected a text; supported are {supported()}"
            )


def check_kind(where: str, config: Mapping[str, Any]) -> None:
    """Refuse a config.json of no supported family, or of what no family file follows."""
    family = config.get("model_type")
    if family not in FAMILIES | ANSWERING:
        raise ValueError(f"{where}: its model_type is {family!r}; supported are {supported()}")
    for key, why in (
        ("quantization_config", "its weights are quantized; give them in 16 or 32 bit"),
        ("auto_map", "it asks for code of its own, which CrossLens never runs"),
    ):
        if config.get(key):
            raise ValueError(f"{where} declares {key}: {why}")
    if (positions := config.get("position_embedding_type")) in RELATIVE:
        raise ValueError(
            f"{where} declares position_embedding_type {positions!r}: attention to distances, "
            "which transformers 5 leaves out and CrossLens does not follow"
        )


def check_architecture(
    where: str,
    architecture: str,
    family: str,
    *,
    is_modular: bool = False,
    is_answer: bool = False,
) -> None:
    """Refuse what is no sequence classifier, language model, or encoder of a modular one."""
    causal = architecture.endswith("ForCausalLM")
    if is_answer and not causal:
        raise ValueError(
            f"{where}: {architecture} is no language model, which the LogitScore of modules.json "
            "expects"
        )
    if family in ENCODER_DECODERS:
        if architecture.endswith("ForConditionalGeneration") and not is_modular:
            return
        raise ValueError(
            f"{where}: CrossLens follows {family} as ...ForConditionalGeneration alone, scored by "
            f"one decoder step as monoT5 and RankT5 are; {architecture} "
            f"{'pools an encoder' if is_modular else 'computes its score otherwise'}"
        )
    if architecture.endswith("Model" if is_modular else "ForSequenceClassification"):
        return
    if causal and not is_modular and family in DECODERS:
        return
    if is_modular:
        what = "no bare encoder, which the modules of modules.json expect"
    elif architecture.endswith(("ForMaskedLM", "ForPreTraining")):
        what = "a masked language model, without a relevance head"
    elif architecture.endswith("Model"):
        what = "a bare encoder (the kind a bi-encoder uses), without a relevance head"
    else:
        what = "not a sequence classifier"
    raise ValueError(
        f"{where}: {architecture} is {what}; a cross-encoder's config.json says "
        "...ForSequenceClassification"
    )


def its_tokenizer(
    files: CheckpointFiles, config: PreTrainedConfig, n_vocabulary: int
) -> PreTrainedTokenizerBase:
    """The tokenizer that was saved beside a model with so many word embeddings."""
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        files.json(file)
    extra = files.json("tokenizer_config.json").get("extra_ids", 0)  # T5's: so many tokens are made
    if isinstance(extra, int | float) and not extra <= n_vocabulary:
        raise ValueError(
            f"{files.name}/tokenizer_config.json: extra_ids is {extra:g}, and the model knows "
            f"{n_vocabulary} tokens"
        )
    try:
        with blamed(f"{files.name}/tokenizer.json or tokenizer_config.json cannot be read"):
            tokenizer = AutoTokenizer.from_pretrained(
                files.name, config=config, trust_remote_code=False
            )
        why = f"what loads knows {len(tokenizer)} tokens, the model {n_vocabulary}"
    except ValueError as error:
        tokenizer, why = None, gist(error)
    # Where the files are missing, transformers makes a tokenizer of a few special tokens.
    if tokenizer is None or len(tokenizer) < n_vocabulary // 2:
        raise ValueError(
            f"{files.name} holds no tokenizer of its model ({why}); save it beside the model, or "
            "give it: load(checkpoint, tokenizer)"
        )
    return tokenizer


def refuse_template(name: str) -> None:
    """A chat template would lay the pair out in another way."""
    raise ValueError(
        f"{name} declares a chat template, with which sentence-transformers renders every pair; "
        "its own files do not say whether the model was trained with it; give load(..., "
        'template="... {query} ... {document} ...") what it was trained with, or remove the chat '
        "template if it reads query and document as the two texts of its tokenizer"
    )


def in_memory(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, wish: Wish
) -> Original:
    """A Hugging Face classifier or language model with its tokenizer; nothing of it is copied."""
    if tokenizer is None:
        raise ValueError("a model in memory needs its tokenizer: load(model, tokenizer)")
    kind, c = type(model).__name__, model.config
    refuse_known(kind, {"architectures": [kind], "model_type": c.model_type})
    if is_lightning_ir(kind):
        raise ValueError(
            f"{kind} is in memory as a class of lightning-ir, whose tokenizer cuts texts too; save "
            "both in a folder and give that, or the hub id"
        )
    if c.model_type not in FAMILIES | ANSWERING:
        raise ValueError(f"{kind} is of the family {c.model_type!r}; supported are {supported()}")
    name = c._name_or_path or f"{kind} in memory"
    refuse_foreign(name, model)
    check_architecture(name, kind, c.model_type)
    says = Declared(declared_activation(name, c.to_dict(), {}))
    found = Original(name, unadapted(name, model), tokenizer, says)
    return laid_out(found, wish, answers=kind.endswith(LANGUAGE_MODELS))


def of_sentence_transformers(
    encoder: Any, tokenizer: PreTrainedTokenizerBase | None, wish: Wish
) -> Original:
    """A `CrossEncoder` of sentence-transformers: its modules, options and own predict."""
    model = getattr(encoder, "model", None)
    first, *others = list(encoder.children()) if hasattr(encoder, "activation_fn") else [None]
    if not isinstance(model, PreTrainedModel) or first is None:
        raise TypeError(
            f"cannot load this {type(encoder).__name__}: expected a CrossEncoder of "
            "sentence-transformers 5.4 or later on a model of transformers"
        )
    name = model.config._name_or_path or "a CrossEncoder in memory"
    refuse_foreign(name, model)
    prompt = default_prompt(name, encoder.prompts, encoder.default_prompt_name)
    if not isinstance(encoder.activation_fn, nn.Module):
        raise ValueError(
            f"the activation_fn of {name} is {encoder.activation_fn!r}; expected a torch module, "
            "as torch.nn.Identity()"
        )
    options, chat, answer = dict(first.processing_kwargs), None, None
    message = first.modality_config.get("message")
    given = options.pop("chat_template", None)
    if message is None:
        refuse_prompt(name, prompt)
    else:
        chat = Chat(message.get("format") == "flat", chat_options(name, given), prompt)
    length, truncation = processing_options(name, options, first.tokenizer.model_max_length)
    answers = [type(module).__name__ for module in others] == [LOGIT_SCORE]
    if answers:
        module: Any = others[0]
        answer, others = declared_answer(name, module.get_config_dict()), []
    says = Declared(encoder.activation_fn, (), length, truncation, answer, chat, True)
    end = tail(name, stages_of(name, others), model.config.hidden_size) if others else None
    if model.config.model_type not in FAMILIES | ANSWERING:
        raise ValueError(
            f"{name} is of the family {model.config.model_type!r}; supported are {supported()}"
        )
    kind = type(model).__name__
    check_architecture(
        name, kind, model.config.model_type, is_modular=bool(others), is_answer=answers
    )

    def predict(pairs: list[tuple[str, str]]) -> Tensor:
        # One at a time: some tokenizers pad on the left, which shifts the positions of a pair.
        scores = encoder.predict(
            pairs, batch_size=1, activation_fn=nn.Identity(), convert_to_tensor=True
        )
        return scores.reshape(len(pairs), -1)

    is_own = (tokenizer is None or tokenizer is first.tokenizer) and wish == Wish()
    words = tokenizer or first.tokenizer
    found = Original(name, unadapted(name, model), words, says, end, predict if is_own else None)
    return laid_out(found, wish, answers=answers)


def refuse_foreign(name: str, model: PreTrainedModel) -> None:
    """Refuse a model in memory that was built by code of its checkpoint's own.

    Raises:
        ValueError: so it is.
    """
    if type(model).__module__.split(".")[0] == "transformers_modules":
        raise ValueError(
            f"{name} is in memory as a {type(model).__name__} of its checkpoint's own code, whose "
            "modules CrossLens does not adopt; give its hub id or folder"
        )


def unadapted(name: str, model: PreTrainedModel) -> PreTrainedModel:
    """`model`, unless an adapter or a quantization stands in for its linear maps."""
    for path, module in model.named_modules():
        package = type(module).__module__.split(".")[0]
        if package in ("peft", "adapters", "bitsandbytes", "auto_gptq", "awq"):
            raise ValueError(
                f"{name}: {path or 'the model'} is a {type(module).__name__} of {package}; merge "
                "the adapter, or load the weights unquantized, first"
            )
    return model
