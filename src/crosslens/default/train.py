"""`python -m crosslens.default.train`: make the embedded reranker from collections and a backbone.

Four steps, each kept in the folder of the run, so that an interrupted command goes on where it
was: build the pools with the teacher, prune the vocabulary, train, export the best weights with
their model card.
"""

import argparse
import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .training.collection import Collection, read
from .training.diet import Plan
from .training.effectiveness import ndcg, rerank
from .training.export import export
from .training.material import build, is_development, TESTS, trainable, USES, WEB
from .training.reading import Lengths, Reader
from .training.run import Recipe, Run
from .training.teacher import BiEncoder
from .training.vocabulary import choose, count_pieces, prune_model, prune_tokenizer, read_tokenizer


LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, log to standard error, and `train`."""
    parser = argparse.ArgumentParser(prog="python -m crosslens.default.train", description=__doc__)
    parser.add_argument("--collections", type=Path, required=True, help="folder of collections")
    parser.add_argument("--backbone", type=Path, required=True, help="folder of a MiniLM encoder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pieces", type=int, default=10_000, help="size of the vocabulary")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    found = sorted(p for p in given.collections.iterdir() if p.name in (*TESTS, *USES, *WEB))
    train(
        {path.name: read(path) for path in found},
        given.backbone,
        given.out,
        Choices(given.epochs, given.pieces, given.seed),
        frequencies=document_frequencies(given.collections / "df" / "wordpiece.df.json.gz"),
    )


@dataclass(frozen=True)
class Choices:
    """What a run may vary: how long, how many pieces, which random order, and the recipe."""

    epochs: int = 8
    pieces: int = 10_000
    seed: int = 7
    recipe: Recipe = field(default_factory=Recipe)
    share: float = 1.0
    stop_after: int | None = None


def train(
    collections: Mapping[str, Collection],
    backbone: Path,
    out: Path,
    choices: Choices,
    frequencies: Mapping[str, int],
) -> None:
    """Leave in `out` the pools, a checkpoint, `history.jsonl` and `reranker/`, the best export."""
    out.mkdir(parents=True, exist_ok=True)
    full = read_tokenizer(backbone)
    tokenizer = pruned(full, collections, frequencies, choices.pieces, out / "tokenizer.json")
    pools = build(collections, BiEncoder.load(backbone), choices.seed, out / "pools")

    torch.manual_seed(choices.seed)  # a command's own process, and the new head is drawn from it
    run = Run(initial(backbone, full, tokenizer), choices.recipe)
    run.resume(out)
    development = {
        name: collection.only(lambda qid, n=name: is_development(n, qid))
        for name, collection in collections.items()
        if name not in TESTS
    }

    def each_epoch(number: int, model: BertForSequenceClassification) -> None:
        figures = {
            name: ndcg(rerank(model, tokenizer, part), part.grades)
            for name, part in development.items()
            if part.queries
        }
        note(out, number, figures, model, tokenizer)

    run.fit(
        Reader.of(pools.texts, tokenizer, Lengths()),
        Plan(pools, choices.seed, choices.epochs, share=choices.share),
        out,
        each_epoch,
        stop_after=choices.stop_after,
    )


def pruned(
    full: Tokenizer,
    collections: Mapping[str, Collection],
    frequencies: Mapping[str, int],
    pieces: int,
    kept: Path,
) -> Tokenizer:
    """The tokenizer `kept` by an earlier run, or `full` with its most frequent `pieces` only."""
    if not kept.is_file():
        allowed = trainable(collections).values()
        said = count_pieces(full, (text for part in allowed for text in part.documents.values()))
        asked = count_pieces(full, (text for part in allowed for text in part.queries.values()))
        chosen = choose(full.get_vocab(), (said, asked, frequencies), pieces)
        prune_tokenizer(full, chosen).save(str(kept))
    return Tokenizer.from_file(str(kept))


def initial(backbone: Path, full: Tokenizer, pruned: Tokenizer) -> BertForSequenceClassification:
    """The backbone with a new head of one logit, no dropout, and the pruned vocabulary.

    Dropout would blur targets that are exact; attention is written out because the fused kernel's
    gradient is the slower one on a processor.
    """
    model = BertForSequenceClassification.from_pretrained(
        backbone,
        num_labels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    prune_model(model, full.get_vocab(), pruned.get_vocab())
    return model


def note(
    out: Path,
    epoch: int,
    figures: Mapping[str, float],
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
) -> None:
    """Add a line to the history, and export `model` if it is the best so far in the mean."""
    history = out / "history.jsonl"
    earlier = history.read_text().splitlines() if history.is_file() else []
    best = max((json.loads(line)["mean"] for line in earlier), default=float("-inf"))
    mean = sum(figures.values()) / len(figures)
    LOG.info("epoch %d: %s", epoch, ", ".join(f"{n} {v:.4f}" for n, v in figures.items()))
    with history.open("a") as lines:
        lines.write(json.dumps({"epoch": epoch, "mean": mean, **figures}) + "\n")
    if mean > best:
        export(model, tokenizer, out / "reranker")


def document_frequencies(table: Path) -> dict[str, int]:
    """Document frequencies of word pieces in a large collection, or none if `table` is absent."""
    if not table.is_file():
        LOG.warning("%s is absent; the vocabulary is chosen by the training texts alone", table)
        return {}
    return json.loads(gzip.decompress(table.read_bytes()))


if __name__ == "__main__":
    main()
