"""How long a person waits: an explanation of a pair and of ten passages; an edit of the page."""

from itertools import count

from crosslens import collection, explain, load
from crosslens.exploration import Answers

from .timing import interleaved, Table


WORDS = 100  # of a passage
PASSAGES = 10


def answering(rounds: int) -> Table:
    """On the embedded reranker, with passages of 100 words of the embedded collection."""
    model, texts = load(), collection("embedded")
    words = " ".join(texts.documents.values()).split()
    passages = [" ".join(words[i * WORDS : (i + 1) * WORDS]) for i in range(PASSAGES)]
    query = next(iter(texts.queries.values()))
    answers, edit = Answers(model), count()

    def pair() -> float:
        explain(model, query, passages[0])
        return 1

    def ten() -> float:
        explain(model, query, *passages)
        return 1

    def typed() -> float:
        """Every passage is new, as the query is when somebody types: nothing is kept."""
        state = {"query": f"{query} {next(edit)}", "passages": passages[:5]}
        answers("scores", state)
        return 1

    def toggled() -> float:
        """A head silenced that was not before: the plain scores are kept."""
        head = f"{next(edit) % model.cfg.n_layers}.{next(edit) % model.cfg.n_heads}"
        state = {"query": query, "passages": passages[:5], "interventions": [f"ablate {head}"]}
        answers("scores", state)
        answers("attention", {**state, "passage": 0, "layer": 3, "head": 1})
        return 1

    toggled()
    arms = {
        "explain a pair": pair,
        "explain ten passages": ten,
        "explore: five passages, another query": typed,
        "explore: five passages, another head": toggled,
    }
    return Table("answers to a person", "answer", interleaved(arms, rounds=rounds), {})
