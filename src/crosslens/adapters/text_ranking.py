"""A request and an answer in the shape of Hugging Face's text-ranking task, as its servers have it.

{"query": "canoe", "texts": ["a canoe", "a bus"], "return_text": true}
[{"index": 0, "score": 0.99, "text": "a canoe"}, {"index": 1, "score": 0.01, "text": "a bus"}]
"""

from collections.abc import Collection as Texts, Iterable, Mapping
from typing import Any, Final

from ..interventions.named_values import Intervention
from ..model.encoder import CrossEncoder
from ..reranking.scorer import Scorer, unique_pairs
from ..sites import near


FLAGS: Final = {"return_text": False, "raw_scores": False, "truncate": True}


def text_ranking(
    model: CrossEncoder,
    request: Mapping[str, Any],
    interventions: Iterable[str | Intervention] = (),
    *,
    idf_of: Texts[str] = (),
) -> list[dict[str, Any]]:
    """The texts of a request, best first: `index` (their place in it), `score`, perhaps `text`.

    A request has `query` and `texts`; true `raw_scores` asks for logits instead of what the model's
    declared activation makes of them; false `truncate` makes a text that is too long an error.
    `idf_of` are the documents in which the IDF of an intervention is counted.

    Raises:
        ValueError: a key that is missing or not known, a flag that is none, a text that the model
            cannot read, or that is longer than the model where it may not be cut.
        TypeError: texts that are no list.
    """
    for name in ("query", "texts"):
        if name not in request:
            raise ValueError(f"the request lacks {name!r}; it has {list(request)}")
    known = ("query", "texts", *FLAGS)
    for name in request:
        if name not in known:
            raise ValueError(f"{name!r} of the request is not followed; {near(name, known)}")
    flags = {name: request.get(name, usual) for name, usual in FLAGS.items()}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}, expected true or false")
    texts = request["texts"]
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"texts are {texts!r:.60}, expected a list")
    texts = list(texts)
    scorer = Scorer.of(model, idf_of, interventions, logits=flags["raw_scores"])
    if not texts:
        return []
    pairs, places = unique_pairs(model, request["query"], texts)
    cut = [i for i, place in enumerate(places) if pairs.cut[place]]
    if cut and not flags["truncate"]:
        raise ValueError(
            f"texts {cut} are longer than the {model.tokens.limit} tokens that the model reads, "
            "and truncate is false"
        )
    scores = scorer(pairs)[places].tolist()
    found = [
        {"index": i, **({"text": text} if flags["return_text"] else {}), "score": score}
        for i, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]
    return sorted(found, key=lambda each: each["score"], reverse=True)
