"""What a checkpoint declares beside its weights: activation, prompt, lengths, modules."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from torch import nn

from .checkpoint_files import CheckpointFiles
from .layouts import Answer
from .text_lengths import TextLengths


@dataclass(frozen=True)
class Module:
    """One entry of modules.json: the class of sentence-transformers and the folder it reads."""

    kind: str  # "Transformer", "Pooling", "Dense", ...
    folder: str


@dataclass(frozen=True)
class Chat:
    """How sentence-transformers calls the chat template of the tokenizer."""

    is_flat: bool
    options: Mapping[str, Any]
    prompt: str | None = None  # the system message


@dataclass(frozen=True)
class Declared:
    """What a checkpoint says of how its score is computed, as far as CrossLens follows it."""

    activation: nn.Module | None = None  # None: sigmoid for one label, identity for more
    modules: tuple[Module, ...] = ()  # after the transformer; none in a plain classifier
    max_length: int | None = None  # tokens of a pair
    truncation: str = "longest_first"
    answer: Answer | None = None  # of a causal language model
    chat: Chat | None = None
    is_laid_out: bool = False  # files say how pairs are laid out: by `chat`, or as two texts
    texts: TextLengths | None = None  # how much is read of each text, before the pair is cut


# The names under which versions of sentence-transformers saved the options of the transformer.
TRANSFORMER_FILES: Final = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
LOGIT_SCORE: Final = "LogitScore"
TASKS: Final = {
    "sequence-classification": ("logits", "scores"),
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
    "text-generation": ("logits", "causal_logits"),
}
# Options of the transformer module that cannot change a cross-encoder's score: lengths and
# expansion are for texts that are encoded apart, the others choose a kernel.
WITHOUT_EFFECT: Final = {"unpad_inputs", "query_length", "document_length", "query_expansion"}
KERNELS: Final = {"trust_remote_code", "attn_implementation", "dtype", "torch_dtype", "use_cache"}
OLD_NAMES: Final = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}


def declared(files: CheckpointFiles, config: Mapping[str, Any]) -> Declared:
    """What the checkpoint says, read as sentence-transformers reads it.

    Raises:
        ValueError: a file is damaged, or declares what CrossLens does not follow; the message
            names the file, the option and the way out.
    """
    name = files.name
    modules = listed_modules(files)
    model = files.json("config_sentence_transformers.json") if modules else {}
    model_type = model.get("model_type", "SentenceTransformer")
    if modules and model_type != "CrossEncoder":
        if "model_type" in model or {module.kind for module in modules} != {"Transformer"}:
            raise ValueError(
                f"{name} is a bi-encoder (its modules.json and config_sentence_transformers.json "
                f"make a {model_type}): it encodes query and document apart and has no relevance "
                "score to explain; give a cross-encoder"
            )
        modules, model = (), {}  # then sentence-transformers reads neither file
    where = f"{name}/config_sentence_transformers.json"
    prompt = default_prompt(where, model.get("prompts"), model.get("default_prompt_name"))
    activation = declared_activation(name, config, model)
    if not modules:
        refuse_prompt(where, prompt)
        return Declared(activation)
    if modules[0] != Module("Transformer", ""):
        raise ValueError(
            f"{name}/modules.json begins with a {modules[0].kind} in {modules[0].folder!r}; "
            "CrossLens follows checkpoints that begin with a Transformer in their root"
        )
    check_order(f"{name}/modules.json", [module.kind for module in modules])
    kinds = [module.kind for module in modules[1:]]
    is_causal = kinds == [LOGIT_SCORE]
    task = "sequence-classification" if not kinds else "feature-extraction"
    max_length, truncation, chat = transformer_options(
        files, "text-generation" if is_causal else task
    )
    if chat is None:
        refuse_prompt(where, prompt)
    else:
        chat = replace(chat, prompt=prompt)
    if not is_causal:
        return Declared(activation, modules[1:], max_length, truncation, None, chat, True)
    file = f"{modules[1].folder}/config.json"
    answer = declared_answer(f"{name}/{file}", files.json(file))
    return Declared(activation, (), max_length, truncation, answer, chat, True)


def declared_answer(where: str, options: Mapping[str, Any]) -> Answer:
    """The tokens of a LogitScore module."""
    true, false = options.get("true_token_id"), options.get("false_token_id")
    if type(true) is not int or type(false) not in (int, type(None)):
        raise ValueError(
            f"{where}: true_token_id is {true!r} and false_token_id {false!r}; expected the "
            "numbers of tokens, the second or null"
        )
    if (read := options.get("module_input_name", "causal_logits")) != "causal_logits":
        raise ValueError(f"{where}: it reads {read!r}; CrossLens follows 'causal_logits' alone")
    return Answer(true, false)


def listed_modules(files: CheckpointFiles) -> tuple[Module, ...]:
    """The modules of modules.json, the transformer first; none where there is no such file."""
    file = f"{files.name}/modules.json"
    found = []
    for each in files.json("modules.json", list):
        kind, folder = (
            (each.get("type"), each.get("path", "")) if isinstance(each, dict) else ("", "")
        )
        if not (kind and isinstance(kind, str) and isinstance(folder, str)):
            raise ValueError(f"{file}: {each!r} is no module, which has a type and a path")
        if kind.split(".")[0] != "sentence_transformers":
            raise ValueError(
                f"{file} lists {kind!r}, code of the checkpoint's own, which CrossLens never runs; "
                "its score cannot be followed"
            )
        found.append(Module(kind.split(".")[-1], folder))
    if not found and files.find("modules.json") is not None:
        raise ValueError(
            f"{file} lists no module, not even the transformer: download it again, or delete it if "
            "the score is that of a plain classifier"
        )
    return tuple(found)


def check_order(where: str, kinds: Sequence[str]) -> None:
    """Refuse modules of which the score is not the classifier's, nor that of a pooled encoder."""
    if len(kinds) > 1 and kinds[1] != "Pooling" and list(kinds[1:]) != [LOGIT_SCORE]:
        raise ValueError(
            f"{where}: the score passes {', '.join(kinds)}; CrossLens follows a classifier alone, "
            "a language model with LogitScore, or a bare encoder with Pooling, then Dense and "
            "LayerNorm modules up to the score"
        )


def default_prompt(where: str, prompts: Any, name: Any) -> str | None:
    """The prompt that predict gives every pair, if there is one."""
    prompts = {} if prompts is None else prompts
    if not (isinstance(prompts, dict) and all(isinstance(p, str | None) for p in prompts.values())):
        raise ValueError(f"{where}: prompts is {prompts!r}, expected a text for each name")
    if name is None:
        return None
    if not isinstance(name, str) or name not in prompts:
        raise ValueError(
            f"{where}: default_prompt_name is {name!r}, but its prompts are {list(prompts)}"
        )
    return prompts[name] or None


def refuse_prompt(where: str, prompt: str | None) -> None:
    """Refuse a prompt that is put before every query: CrossLens would not read it."""
    if prompt:
        raise ValueError(
            f"{where} declares the default prompt {prompt!r}, which predict puts before "
            "every query and CrossLens does not; set default_prompt_name to null there and write "
            "the prompt into your queries"
        )


def declared_activation(
    name: str, config: Mapping[str, Any], model: Mapping[str, Any]
) -> nn.Module | None:
    """What the files say follows the logit in predict; None where they say nothing.

    config_sentence_transformers.json has the last word, then `sentence_transformers.activation_fn`
    in config.json, then its older name there.
    """
    nested = config.get("sentence_transformers") or {}
    if not isinstance(nested, Mapping):
        raise ValueError(
            f"{name}/config.json: sentence_transformers is {nested!r}, expected a mapping"
        )
    places = {
        "config_sentence_transformers.json": model.get("activation_fn"),
        "config.json": nested.get("activation_fn")
        or config.get("sbert_ce_default_activation_function"),
    }
    for file, path in places.items():
        if path is not None:
            return activation_named(f"{name}/{file}", path)
    return None


def activation_named(where: str, path: Any) -> nn.Module:
    """The module of torch.nn at a dotted path: nothing else is imported."""
    package, _, name = str(path).rpartition(".")
    found = None
    if isinstance(path, str) and (package == "torch.nn" or package.startswith("torch.nn.")):
        try:
            found = getattr(importlib.import_module(package), name, None)
            made = found() if isinstance(found, type) and issubclass(found, nn.Module) else None
        except (ImportError, TypeError):
            made = None
        if made is not None:
            return made
    raise ValueError(
        f"{where} declares the activation {path!r}; expected a class of torch.nn that takes no "
        "arguments, as torch.nn.modules.linear.Identity"
    )


def transformer_options(files: CheckpointFiles, wanted: str) -> tuple[int | None, str, Chat | None]:
    """The longest pair, the truncation and the chat template of sentence_bert_config.json.

    `wanted` is the task that the modules of modules.json expect.
    """
    file = next((f for f in TRANSFORMER_FILES if files.json(f)), TRANSFORMER_FILES[0])
    where = f"{files.name}/{file}"
    read: dict[str, Any] = files.json(file)
    options = {OLD_NAMES.get(key, key): value for key, value in read.items()}
    task = options.pop("transformer_task", "feature-extraction")
    is_old = "modality_config" not in options and wanted == "sequence-classification"
    if is_old and task == "feature-extraction":
        task = wanted  # saved before there were tasks
    if task != wanted:
        raise ValueError(
            f"{where}: transformer_task is {task!r}; with the modules of modules.json CrossLens "
            f"follows {wanted!r} alone"
        )
    output, feature = TASKS[task]
    expected: Any = {"text": {"method": "forward", "method_output_name": output}}
    modalities = options.get("modality_config")
    message = modalities.get("message") if isinstance(modalities, dict) else None
    is_flat = isinstance(message, dict) and message.get("format") == "flat"
    if message is not None:
        written = "flat" if is_flat else "structured"
        expected["message"] = {**expected["text"], "format": written}
    for key, value in (("modality_config", expected), ("module_output_name", feature)):
        if (found := options.pop(key, value)) != value:
            raise ValueError(f"{where}: {key} is {found!r}; CrossLens follows {value!r} alone")
    max_length = options.pop("max_seq_length", None)
    for key in ("model_kwargs", "processor_kwargs", "config_kwargs"):
        given = mapping(where, key, options.pop(key, None))
        if key == "processor_kwargs":
            max_length = given.pop("model_max_length", max_length)
        refuse(where, key, {k: v for k, v in given.items() if k not in KERNELS})
    processing = mapping(where, "processing_kwargs", options.pop("processing_kwargs", None))
    refuse(
        where,
        "",
        {k: v for k, v in options.items() if k not in WITHOUT_EFFECT and v not in (None, False)},
    )
    chat = None
    if message is not None:
        chat = Chat(is_flat, chat_options(where, processing.pop("chat_template", None)))
    return *processing_options(where, processing, max_length), chat


def chat_options(where: str, given: Any) -> dict[str, Any]:
    """The options with which the chat template is rendered."""
    options = mapping(where, "processing_kwargs.chat_template", given)
    if options.pop("restore_suffix", True) is not True:
        raise ValueError(
            f"{where} sets restore_suffix to false, so that long pairs lose the end of their "
            "template; CrossLens keeps it"
        )
    sizes = {"padding", "truncation", "max_length", "return_tensors"} & options.keys()
    refuse(where, "processing_kwargs.chat_template", {key: options[key] for key in sizes})
    return options


def processing_options(
    where: str, processing: Mapping[str, Any], max_length: Any
) -> tuple[int | None, str]:
    """The longest pair and the truncation with which the tokenizer is called."""
    called: dict[str, Any] = {"truncation": "longest_first", "max_length": max_length}
    for key in ("text", "common"):
        called |= mapping(where, f"processing_kwargs.{key}", processing.get(key))
    longest, truncation = called.pop("max_length"), called.pop("truncation")
    if longest is not None and not (type(longest) is int and longest > 0):
        raise ValueError(f"{where}: the maximum length is {longest!r}, expected a number of tokens")
    if truncation is True:
        truncation = "longest_first"
    if truncation not in ("longest_first", "only_second"):
        raise ValueError(
            f"{where}: truncation is {truncation!r}; CrossLens follows 'longest_first' and "
            "'only_second'"
        )
    # Padding changes no score: no token reads it.
    harmless = {"padding", "return_tensors", "pad_to_multiple_of", "return_attention_mask"}
    refuse(where, "processing_kwargs", {k: v for k, v in called.items() if k not in harmless})
    return longest, truncation


def mapping(where: str, key: str, value: Any) -> dict[str, Any]:
    """`value` as a dict; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: {key} is {value!r}, expected a mapping")
    return dict(value)


def refuse(where: str, key: str, options: Mapping[str, Any]) -> None:
    """Refuse every one of these `options`: CrossLens does not follow them."""
    if options:
        inside = f" in {key}" if key else ""
        raise ValueError(
            f"{where} declares {dict(options)}{inside}, which CrossLens does not follow; remove it "
            "there if the score does not rest on it"
        )
