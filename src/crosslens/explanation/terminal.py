"""An explanation as text, as wide as a terminal."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..frames import Frame
from .explanation import Details, Explanation, Passage
from .sentences import agreed, decided, matched, turn


SHOWN: Final = 8  # words of a table, the strongest
LEAST: Final = 0.15  # of the strongest effect: weaker words are not coloured


def as_text(explanation: Explanation) -> str:
    """The explanation without colours."""
    console = Console(width=100, markup=False, emoji=False, highlight=False, no_color=True)
    with console.capture() as captured:
        console.print(printed(explanation))
    return captured.get().rstrip()


def printed(explanation: Explanation) -> RenderableType:
    """What the command prints."""
    return Group(*_parts(explanation))


def _parts(it: Explanation) -> Iterator[RenderableType]:
    yield Text.assemble(("Query: ", "dim"), it.query)
    yield ranking(it)
    for rank, passage in enumerate(it.passages, start=1):
        if passage.details is not None:
            yield from _details(rank, passage, passage.details)
    if it.apart is not None and len(it.apart):
        yield Text("\nWhat separates the first two, by word of the query", style="bold")
        most = it.apart.loc[it.apart["difference"].abs().nlargest(SHOWN).index]
        yield _table(
            ("word", "first", "second", "difference"),
            most.sort_values("difference", ascending=False).itertuples(index=False),
        )
    for each in it.turns:
        yield Text(f"\n{turn(each)}")
        if each.is_found:
            yield Text(each.text, style="italic")
    for note in it.notes:
        yield Text(note, style="yellow")


def ranking(it: Explanation) -> Table:
    """Every passage with its score, the best first."""
    is_activated = it.activation != "Identity"
    table = _grid("", "score", *([it.activation] if is_activated else []), "passage")
    for rank, passage in enumerate(it.passages, start=1):
        activated = [f"{passage.activated:.4f}"] if is_activated else []
        table.add_row(str(rank), f"{passage.score:.3f}", *activated, _short(passage.text))
    return table


def _details(rank: int, passage: Passage, details: Details) -> Iterator[RenderableType]:
    yield Text(f"\nPassage {rank}", style="bold")
    yield coloured(passage.text, details.words)
    words = details.words.dropna(subset="effect")
    strongest = words.reindex(words["effect"].abs().sort_values(ascending=False).index)
    yield Text("\nThe score without the word falls by", style="dim")
    rows = ((row.text, row.segment, row.effect) for row in strongest.itertuples())
    yield _table(("word", "of", "effect"), islice(rows, SHOWN))
    for line in (agreed(details), matched(details), decided(details)):
        yield Text(line)


def coloured(text: str, words: Frame) -> Text:
    """The passage, words that raise the score green, words that lower it red."""
    shown = Text(text)
    own = words[(words["segment"] == "document") & words["effect"].notna()]
    top = own["effect"].abs().max() if len(own) else 0
    for row in own.itertuples():
        if top and abs(row.effect) >= LEAST * top:
            style = "green" if row.effect > 0 else "red"
            if abs(row.effect) >= top / 2:
                style += " bold"
            shown.stylize(style, row.start, row.end)
    return shown


def _table(names: tuple[str, ...], rows: Iterator) -> Table:
    table = _grid(*names)
    for row in rows:
        table.add_row(*(f"{each:+.3f}" if isinstance(each, float) else str(each) for each in row))
    return table


def _grid(*names: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    for name in names:
        is_text = name in ("word", "of", "passage")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"
