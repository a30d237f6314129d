"""`predict` and `rank` of sentence-transformers' `CrossEncoder`, by a model under interventions."""

from collections.abc import Callable, Collection as Texts, Iterable, Sequence
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from ..batching.batches import batches_by_length
from ..interventions.named_values import Intervention
from ..model.encoder import CrossEncoder
from ..reranking.scorer import Scorer


class SentenceTransformersReranker:
    """What takes the place of a sentence-transformers `CrossEncoder` where it ranks or predicts.

    Arguments mean what they mean there. What would be ignored is refused by name: prompts, other
    devices than the model's own, and pools of processes.

    Args:
        interventions: under which the model scores; see `crosslens.interventions.named`.
        idf_of: the documents in which the IDF of an intervention is counted.

    Raises:
        ValueError: a model of several labels, of which the library gives several numbers; a line
            that names no intervention.
        LookupError: an intervention on what the model does not have.
    """

    num_labels = 1

    def __init__(
        self,
        model: CrossEncoder,
        interventions: Iterable[str | Intervention] = (),
        *,
        idf_of: Texts[str] = (),
    ):
        if model.relevance.n_labels != 1:
            raise ValueError(
                f"the model has {model.relevance.n_labels} labels, of each of which "
                "sentence-transformers gives a number; model.score gives the relevance score"
            )
        self.scorer = Scorer.of(model, idf_of, interventions, logits=True)
        self.activation_fn: Callable[[Tensor], Tensor] = model.activation

    # the library's own arguments, in its order
    def predict(
        self,
        inputs: Iterable[Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Tensor], Any] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
    ) -> Any:
        """The score of each pair [query, document], or of one pair, in single precision.

        An array, a tensor where `convert_to_tensor`, else a list of tensors. `apply_softmax`
        changes nothing for one label, there as here. `batch_size` is how many pairs run together
        at most; where memory runs out, fewer do, and scores are the same but for rounding.

        Raises:
            ValueError: an argument that is not followed, a batch size below 1, or an input that is
                no pair of texts.
            DoesNotFit: there is no memory for one pair.
        """
        refuse(
            prompt_name=prompt_name, prompt=prompt, device=device, pool=pool, chunk_size=chunk_size
        )
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        listed = list(inputs)
        single = bool(listed) and isinstance(listed[0], str)
        pairs = (
            [listed]
            if single
            else [each if isinstance(each, str) else list(each) for each in listed]
        )
        for i, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2:
                raise ValueError(f"input {i} is {pair!r:.60}; expected a pair [query, document]")
        scores = self._scores(pairs, batch_size, show_progress_bar, activation_fn)
        if single:
            return scores[0] if convert_to_tensor or not convert_to_numpy else scores.numpy()[0]
        if convert_to_tensor:
            return scores
        return scores.numpy() if convert_to_numpy else list(scores)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Tensor], Any] | None = None,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """The documents best first: `corpus_id` (the place among them), `score`, perhaps `text`.

        Raises:
            ValueError: as `predict`.
        """
        scores = self.predict(
            [[query, document] for document in documents],
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            activation_fn,
            convert_to_tensor=True,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
        ).tolist()
        found = [
            {"corpus_id": i, "score": score, **({"text": text} if return_documents else {})}
            for i, (score, text) in enumerate(zip(scores, documents, strict=True))
        ]
        return sorted(found, key=lambda each: each["score"], reverse=True)[:top_k]

    @torch.no_grad()
    def _scores(
        self,
        inputs: Sequence[Sequence[str]],
        batch_size: int,
        show_progress_bar: bool | None,
        activation_fn: Callable[[Tensor], Any] | None,
    ) -> Any:
        scores = torch.empty(len(inputs))
        if not inputs:
            return scores
        pairs = self.scorer.model.pairs(*map(list, zip(*inputs, strict=True)))
        batches = batches_by_length(pairs, batch_size)
        for rows in track(batches, "Batches", disable=not show_progress_bar):
            scores[rows] = self.scorer(pairs.take(rows)).float()
        function = activation_fn or self.activation_fn
        return function(scores[:, None])[:, 0]  # one column per label, as the library has it


def refuse(**given: Any) -> None:
    """Refuse arguments that would be ignored.

    Raises:
        ValueError: names them.
    """
    named = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    if named:
        raise ValueError(
            f"{', '.join(named)} is not followed here: the model reads pairs as its checkpoint "
            "declares, on its own device; leave it out"
        )
