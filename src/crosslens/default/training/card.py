"""The model card: what the weights are, how they were made, and what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

from .measure import Figures
from .sanity import Drop


CARD: Final = Template("""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-ranking
---

# The embedded reranker of CrossLens

A six-layer MiniLM cross-encoder (BERT architecture, 6 layers, 12 heads, width 384, one logit)
with a vocabulary of $pieces word pieces, stored in float16. It is small enough to ship inside the
package and good enough to study: a subject for interpretability, not a leaderboard entry. English
only; trained on pairs of at most 104 tokens, positions up to 512. The score is the bare logit: no
sigmoid.

## Effectiveness

nDCG@10 with exponential gain (ir-measures `nDCG(dcg='exp-log2')@10`), measured on this export
(float16 weights, pruned tokenizer, pairs of at most 160 tokens, matrix products in bfloat16; the
next table's in float32) by the command below. All three systems rank the same candidates: the
judged pool (Cranfield: BM25's first 100, relevant if the label is at least 1).

| test | queries | BM25 | bi-encoder | this reranker |
|---|---|---|---|---|
$figures

TREC DL 2019 and Cranfield were never trained on, distilled on or selected on: every query and
document of theirs that another collection repeats was taken out of the training material first.
WikiQA is the half of its questions that was held out. The backbone, like the bi-encoder beside it,
was trained by its authors on MS MARCO's training queries, among much else.

## Does it behave like a cross-encoder?

What the logit of a perfectly relevant pair of TREC DL 2019 (grade 3) loses when the pair is spoilt:

| change | mean loss (logits) | pairs that lose | pairs |
|---|---|---|---|
$drops

"Other term" is the control: a word of the document as rare as the query's, but not in the query.

## How it was made

    $command

1. **Start.** The Apache-2.0 encoder
   [all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) and its pooler,
   with a new head. Its vocabulary was pruned to the most frequent pieces; every character of Latin
   script stays, alone and as a continuation, so that unknown words split.
2. **Teacher.** The same bi-encoder judged every document for every query: half the cosine with the
   document, half the best cosine with a window of it, and a tenth of BM25's share of its bound.
3. **Material.** Lists were drawn from pools of documents, the queries by source in the table below:
   judged ones, pseudo-queries made from passages (`-pseudo`) and from windows of them, and
   questions of every collection asked of the web passages.
4. **Training.** Lists of about 12 documents, first of short windows, then of whole passages; the
   divergence between softmax rankings plus a fifth of the margin MSE, where a judged grade adds a
   bonus to the teacher's logit. AdamW, a cosine schedule, a running average of the weights. The
   exported epoch is the best on held-out development queries (a quarter of TREC DL 2020, an eighth
   of WikiQA).

### Queries, by source

$sources

### Development, by epoch

$history
$notes
## Data and licences

The weights derive from all-MiniLM-L6-v2 (Apache-2.0). The training texts are not part of this
package. They come from research collections: MS MARCO passages with the TREC Deep Learning 2020
judgements (Microsoft, non-commercial research; NIST) and the TFC1 diagnostic's candidates (also MS
MARCO), WikiQA (Microsoft Research), TREC-QA (Wang et al. 2007, Yao et al. 2013), MedQuAD (CC BY
4.0), SciFact (CC BY-NC 2.0; abstracts ODC-By), MEDIQA 2019, SemEval 2016-17 task 3 (Qatar Living)
and the Vaswani/NPL collection. Frequencies of word pieces over MS MARCO are those of
jingtaozhan/bert-ranking-analysis (BSD-3-Clause).
""")


def write_card(
    folder: Path,
    command: str,
    figures: Sequence[Figures],
    drops: Mapping[str, Drop],
    history: Sequence[Mapping[str, int | float]],
    sources: Mapping[str, int],
    pieces: int,
    notes: str,
) -> None:
    """Write `README.md` into `folder`."""
    named = [name for name in history[0] if name not in ("epoch", "mean")]
    (folder / "README.md").write_text(
        CARD.substitute(
            command=command,
            pieces=f"{pieces:,}",
            figures="\n".join(
                f"| {row.test} | {row.queries} | {row.bm25:.3f} | {row.bi_encoder:.3f} "
                f"| {row.reranker:.3f} |"
                for row in figures
            ),
            drops="\n".join(
                f"| {name} | {drop.mean:.2f} | {drop.share:.0%} | {drop.pairs} |"
                for name, drop in drops.items()
            ),
            sources="\n".join(
                [
                    "| source | queries |",
                    "|---|---|",
                    *(f"| {name} | {n:,} |" for name, n in sorted(sources.items())),
                ]
            ),
            history="\n".join(
                [
                    f"| epoch | {' | '.join(named)} | mean |",
                    f"|{'---|' * (len(named) + 2)}",
                    *(
                        f"| {line['epoch']} | "
                        + " | ".join(f"{line[name]:.4f}" for name in named)
                        + f" | {line['mean']:.4f} |"
                        for line in history
                    ),
                ]
            ),
            notes=f"\n{notes.strip()}\n" if notes.strip() else "",
        ),
        encoding="utf-8",
    )
