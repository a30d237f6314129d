"""Rerankers that CrossLens knows and does not load: what each is, by what its files declare."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .checkpoint_files import CheckpointFiles


LISTWISE: Final = (
    "it reads a query and several documents at once, so that no pair has a score of its own; "
    "CrossLens explains scores of one query and one document"
)
OWN_CODE: Final = (
    "its layers are computed by code of its own, which CrossLens neither runs nor has a family "
    "file for"
)
# Patterns for an architecture, a model_type or a class of auto_map, and what such a model is.
KINDS: Final = (
    (r"JinaForRanking|jina-?reranker-?v3", f"a listwise reranker (jina-reranker-v3): {LISTWISE}"),
    (r"set-encoder|SetEncoder\w*", f"a Set-Encoder of lightning-ir, listwise: {LISTWISE}"),
    (
        r"mono-(bert|electra|roberta)|t5-cross-encoder|(Mono|CrossEncoder|T5CrossEncoder)T5\w*Model",
        "a cross-encoder of lightning-ir in a form that CrossLens does not follow: saved before "
        "its 'mono' and 'cross-encoder', or on a T5",
    ),
    (
        r"umt5|UMT5\w*",
        "a UMT5, whose blocks have a position bias each, where T5's share one: CrossLens has no "
        "family file for it",
    ),
    (
        r"(\w+\.)?(LayerWise|CostWise)\w*ForCausalLM",
        "a reranker with a head for every layer (bge-reranker-v2-minicpm-layerwise, "
        f"v2.5-gemma2-lightweight): {OWN_CODE}",
    ),
)
# Language models, by the names they were published under.
OF_SEVERAL: Final = re.compile(
    r"rank[_-]?(zephyr|vicuna|gpt)|list[_-]?t5|lit5|first[_-]?mistral|(duo|pair)[_-]?t5", re.I
)


def declared_names(config: Mapping[str, Any]) -> Iterator[str]:
    """Everything by which a config.json names the class of its model."""
    architectures = config.get("architectures")
    yield from architectures if isinstance(architectures, list) else ()
    yield config.get("model_type") or ""
    code = config.get("auto_map")
    for path in code.values() if isinstance(code, Mapping) else ():
        yield from path if isinstance(path, list) else (path,)


def refuse_known(where: str, config: Mapping[str, Any]) -> None:
    """Refuse a reranker of which CrossLens knows that it does not follow it.

    Raises:
        ValueError: it is one; the message says what it is.
    """
    for name in declared_names(config):
        for pattern, what in KINDS:
            if re.fullmatch(pattern, re.sub(r"^.*--", "", str(name))):
                raise ValueError(f"{where} declares {name!r}: {what}")


def refuse_adapter(files: CheckpointFiles) -> None:
    """Refuse an adapter of PEFT: without its base model it has no score.

    Raises:
        ValueError: the checkpoint holds one.
    """
    if files.find("adapter_config.json") is None:
        return
    base = files.json("adapter_config.json").get("base_model_name_or_path")
    raise ValueError(
        f"{files.name}/adapter_config.json: this is an adapter of PEFT to {base!r}; merge it "
        "first, and give the merged model: PeftModel.from_pretrained(base, adapter)"
        ".merge_and_unload().save_pretrained(folder)"
    )


def refuse_several(name: str) -> None:
    """Refuse a language model that is known to order several documents.

    Raises:
        ValueError: `name` is that of one.
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    if OF_SEVERAL.search(last):
        raise ValueError(
            f"{name} is by its name a language model that compares or orders documents: "
            f"{LISTWISE}; if this one judges pairs, load(..., template=..., relevant=...) says how"
        )
