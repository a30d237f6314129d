"""`python -m crosslens.default.train`: make the embedded reranker from collections and a backbone.

Each step is kept in the folder of the run, so that an interrupted command goes on where it was:
prune the vocabulary, build the pools with the teacher, train, export the best epoch's weights, and
measure them for the model card.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from ..corpora.collection import Collection
from .training.card import write_card
from .training.collection import part, read
from .training.diet import Plan
from .training.effectiveness import ndcg, ranked
from .training.export import export, note_hashes
from .training.heldout import is_development, TESTS
from .training.history import History
from .training.material import build, USES, WEB
from .training.measure import measure
from .training.pools import Pools
from .training.reading import Reader, TRAINED
from .training.run import Recipe, Run
from .training.sanity import drops
from .training.start import document_frequencies, initial, pruned
from .training.teacher import BiEncoder
from .training.vocabulary import read_tokenizer


LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choices:
    """What a run may vary: how long, how many pieces, which random order, and the recipe.

    An epoch takes a `share` of the diet; `stop_after` interrupts the run after so many steps.
    """

    epochs: int = 8
    share: float = 0.5
    pieces: int = 10_000
    seed: int = 7
    recipe: Recipe = field(default_factory=Recipe)
    stop_after: int | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, log to standard error, then `train` and `finish`."""
    parser = argparse.ArgumentParser(prog="python -m crosslens.default.train", description=__doc__)
    parser.add_argument("--collections", type=Path, required=True, help="folder of collections")
    parser.add_argument("--backbone", type=Path, required=True, help="folder of a MiniLM encoder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--epochs", type=int, default=Choices.epochs)
    parser.add_argument("--share", type=float, default=Choices.share, help="of the diet, an epoch")
    parser.add_argument("--pieces", type=int, default=Choices.pieces, help="in the vocabulary")
    parser.add_argument("--seed", type=int, default=Choices.seed)
    parser.add_argument("--notes", type=Path, help="text for the card: what was tried")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    found = sorted(p for p in given.collections.iterdir() if p.name in (*TESTS, *USES, *WEB))
    collections = {path.name: read(path) for path in found}
    choices = Choices(given.epochs, given.share, given.pieces, given.seed)
    frequencies = document_frequencies(given.collections / "df" / "wordpiece.df.json.gz")
    pools = train(collections, given.backbone, given.out, choices, frequencies)
    notes = given.notes.read_text(encoding="utf-8") if given.notes else ""
    finish(collections, given.backbone, given.out, pools, notes)


def train(
    collections: Mapping[str, Collection],
    backbone: Path,
    out: Path,
    choices: Choices,
    frequencies: Mapping[str, int],
) -> Pools:
    """Leave in `out` the pools, a checkpoint, `history.jsonl` and `reranker/`, the best export."""
    out.mkdir(parents=True, exist_ok=True)
    full = read_tokenizer(backbone)
    tokenizer = pruned(full, collections, frequencies, choices.pieces, out / "tokenizer.json")
    pools = build(collections, BiEncoder.load(backbone), choices.seed, out / "pools")
    development = {
        name: held_out
        for name, whole in collections.items()
        if (held_out := part(whole, query=lambda qid, n=name: is_development(n, qid)))
    }

    def each_epoch(number: int, model: BertForSequenceClassification) -> None:
        figures = {
            name: ndcg(ranked(model, tokenizer, held_out), held_out)
            for name, held_out in development.items()
        }
        LOG.info("epoch %d: %s", number, ", ".join(f"{n} {v:.4f}" for n, v in figures.items()))
        if History(out / "history.jsonl").add(number, figures):
            export(model, tokenizer, out / "reranker")

    torch.manual_seed(choices.seed)  # in a command's own process; the new head is drawn from it
    run = Run(initial(backbone, full, tokenizer), choices.recipe)
    run.resume(out)
    run.fit(
        Reader.of(pools.texts, tokenizer, TRAINED),
        Plan(pools, choices.seed, choices.epochs, share=choices.share),
        out,
        each_epoch,
        stop_after=choices.stop_after,
    )
    return pools


def finish(
    collections: Mapping[str, Collection], backbone: Path, out: Path, pools: Pools, notes: str
) -> None:
    """Measure what was exported, exactly as it was exported, and write its card and hashes."""
    folder = out / "reranker"
    model = BertForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    figures = list(measure(model, tokenizer, collections, BiEncoder.load(backbone)))
    spoilt = {}
    if (judged := collections.get("trec-dl-2019")) is not None:
        spoilt = drops(model, tokenizer, judged, least_grade=3)
    write_card(
        folder,
        command=" ".join(["python -m crosslens.default.train", *sys.argv[1:]]),
        figures=figures,
        drops=spoilt,
        history=History(out / "history.jsonl").lines(),
        sources=Counter(pool.source for pool in pools.pools),
        pieces=tokenizer.get_vocab_size(),
        notes=notes,
    )
    note_hashes(folder)


if __name__ == "__main__":
    main()
