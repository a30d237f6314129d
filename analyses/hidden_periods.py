"""Does a ranking suffer when the periods of its relevant documents are hidden?

The periods of relevant documents are hidden from all tokens in all layers by a token mask (other
tokens take over their share of attention) and by an attention mask (their share is lost), and are
replaced by commas. Decimal points stay. Relevant documents alone are scored anew and put back into
the ranking. Zhan et al. (2020), section 4.4, Table 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from crosslens import attention_mask, CrossEncoder, NotMeasurable, Pairs, token_mask
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.probing import with_periods
from crosslens.words import scores_of

from .means import mean_row
from .option_types import Depth
from .ranking_quality import judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 480
    depth: Depth = 10


@dataclass(frozen=True)
class Answer:
    """Scores by candidate, their change by mask, and the effectiveness of each."""

    candidates: Frame  # qid, docid, is_relevant, periods, original and a score for each condition
    changes: Frame  # condition, change (of relevant documents with a period), low, high, n
    rankings: Frame  # condition, measure, mean, low, high, difference, diff_low, diff_high, n


PERIOD = "document period"


def hidden(mask: Callable) -> Callable[[CrossEncoder, Pairs], Float[Tensor, " pair"]]:
    """Scores with the periods of documents masked in every layer."""

    def scored(model: CrossEncoder, pairs: Pairs) -> Float[Tensor, " pair"]:
        with model.hooked(*(mask(layer, src=PERIOD) for layer in range(model.cfg.n_layers))):
            return scores_of(model, pairs)

    return scored


def commas(model: CrossEncoder, pairs: Pairs) -> Float[Tensor, " pair"]:
    """Scores with commas in the place of the periods.

    Raises:
        NotMeasurable: the model's vocabulary has no comma.
    """
    tokenizer = model.tokens.tokenizer
    comma = tokenizer.get_vocab().get(",")
    if comma is None:
        raise NotMeasurable("the vocabulary of the model has no comma to put in a period's place")
    token = pairs.token.masked_fill(pairs.where(PERIOD), comma)
    return scores_of(model, replace(pairs, token=token))


CONDITIONS = {
    "attention mask": hidden(attention_mask),
    "token mask": hidden(token_mask),
    "commas": commas,
}


def analyse(given: Given) -> Answer:
    """One query after the other: its candidates, then its relevant ones without periods."""
    texts, rows = judged_sample(given, given.options.depth)
    queries = [some.reset_index(drop=True) for _, some in rows.groupby("qid", sort=False)]
    candidates = given.table("hiding periods", "scored", partial(scored, given), queries)
    touched = candidates[candidates["is_relevant"] & (candidates["periods"] > 0)]
    if touched.empty:
        raise NotMeasurable(
            f"no relevant document of {len(queries)} queries of collection {texts.name!r} has a "
            "period"
        )
    changes = []
    for name in CONDITIONS:
        change = touched[name] - touched["original"]
        changes.append({"condition": name, **mean_row(change, "change", seed=given.seed)})
    least = relevant_from(given.texts.qrels)
    quality = ranking_quality(texts, candidates.drop(columns="periods"), least, given.seed)
    return Answer(candidates, pd.DataFrame(changes), quality)


def scored(given: Given, rows: Frame) -> Frame:
    """The rows with their number of periods, and scores in all conditions."""
    pairs = with_periods(pairs_of(given, rows))
    original = scores_of(given.model, pairs)
    changed = rows["is_relevant"].to_numpy().nonzero()[0].tolist()
    table = rows.assign(
        periods=pairs.where(PERIOD).sum(dim=1).numpy(force=True),
        original=original.double().numpy(force=True),
    )
    for name, score in CONDITIONS.items():
        new = original.clone()
        new[changed] = score(given.model, pairs.take(changed)).to(new)
        table[name] = new.double().numpy(force=True)
    return table


if __name__ == "__main__":
    main(__spec__.name)
