"""The circuit as a picture: layers up, the tokens of a pair across, heads where they write.

Drawn by hand as inline SVG, in the page's own colours, so that it needs no library, follows the
light or dark page, prints, and is read by a screen reader. A head stands in its layer, above
the tokens at which it writes; a dotted line comes from the tokens it reads there; lines between
heads are the paths that were found, as wide as the share of the contrast they carry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, NamedTuple

import numpy as np
from markupsafe import Markup

from ..contrasts.roles import NAMES, ROLES
from .frames import Frame


SCORE: Final = "score"
SCORING: Final = "relevance scoring"  # the part of heads that write the score
COLUMNS: Final = tuple(name for name in NAMES if name != "[PAD]")
ALWAYS: Final = ("Q+", "Q-", "D_inj")  # columns that stand there, used or not
LABELS: Final = {
    "[CLS]": "CLS",
    "Q-": "Q−",
    "[SEP]1": "SEP₁",
    "D_inj": "D inj",
    "D-": "D−",
    "D_other": "D rest",
    "[SEP]2": "SEP₂",
    "[TEMPLATE]": "prompt",
    "[INSTRUCTION]": "instruction",
}
LEFT: Final = 54  # for the names of the layers
CELL: Final = 112  # width of a column
ROW: Final = 46  # height of a line of heads
GAP: Final = 30  # between layers
TOP: Final = 74  # for the score
RADIUS: Final = 16.0
ABREAST: Final = 3  # heads beside each other in a cell; more are stacked
WIDEST: Final = 7.0  # of a line
FAINTEST: Final = 0.1  # of the strongest path: weaker ones stand in the table alone
COLOURS: Final = ("stage-a", "stage-b", "stage-c", "stage-d", "stage-e", "stage-f")


Row = dict[str, Any]  # of a table


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Plan:
    """Where everything stands: layer 0 below, the last one above."""

    columns: tuple[str, ...]  # token roles, in the order of the pair
    scored: str  # the token role at which the score is read
    at: dict[str, Point]  # by the name of a unit
    middle: dict[int, float]  # the height of each layer's middle
    height: float

    @property
    def width(self) -> float:
        return float(LEFT + CELL * len(self.columns) + 8)

    @classmethod
    def of(cls, nodes: Frame, layers: Iterable[int]) -> "Plan":
        """Every layer in a band as high as its fullest cell."""
        scored = read_at(nodes)
        used = {*ALWAYS, scored, *nodes["writes"], *nodes["reads"]}
        columns = tuple(role for role in COLUMNS if role in used)
        at: dict[str, Point] = {}
        middle: dict[int, float] = {}
        y = float(TOP)
        for layer in sorted(layers, reverse=True):
            own = nodes[nodes["layer"] == layer]
            cells = [own[own["writes"] == role]["unit"].tolist() for role in columns]
            lines = max([1, *(ceil(len(cell) / ABREAST) for cell in cells)])
            band = lines * ROW + GAP
            middle[layer] = y + band / 2
            for i, cell in enumerate(cells):
                at |= dict(zip(cell, spread(len(cell), centre(i), middle[layer]), strict=True))
            y += band
        return cls(columns, scored, at, middle, y + 40)

    def column(self, role: str) -> float:
        return centre(self.columns.index(role))

    @property
    def score(self) -> Point:
        return Point(self.column(self.scored), 26.0)

    @property
    def ground(self) -> float:
        """Where the words stand."""
        return self.height - 34


def read_at(nodes: Frame) -> str:
    """The token role at which the score is read: [CLS], or where the scoring heads write."""
    writes = nodes.loc[nodes["role"] == SCORING, "writes"]
    return str(writes.mode()[0]) if len(writes) else "[CLS]"


def centre(column: int) -> float:
    return float(LEFT + CELL * (column + 0.5))


def spread(n: int, x: float, y: float) -> list[Point]:
    """`n` places around a point, `ABREAST` to a line."""
    lines = ceil(n / ABREAST)
    found = []
    for line in range(lines):
        here = min(ABREAST, n - line * ABREAST)
        height = y + (line - (lines - 1) / 2) * ROW
        found += [Point(x + (i - (here - 1) / 2) * 36, height) for i in range(here)]
    return found


def drawn(nodes: Frame, edges: Frame, n_layers: int) -> Markup:
    """The picture of a circuit.

    Args:
        nodes: one row per member: unit, name, layer, role (its part in the circuit), writes and
            reads (roles of tokens), effect with low and high.
        edges: sender and receiver by unit, or "score"; read (q, k, v or ""), effect, low, high.
        n_layers: of the model; all are drawn, so that one sees where nothing happens.
    """
    plan = Plan.of(nodes, range(n_layers))
    stages = {role: COLOURS[i % len(COLOURS)] for i, role in enumerate(nodes["role"].unique())}
    strongest = float(edges["effect"].abs().max()) if len(edges) else 1.0
    title = f"The relevance score, read at {plan.scored}"
    body = [
        *grid(plan),
        *(reads(row, plan) for row in nodes.to_dict("records")),
        *(line(row, plan, strongest) for row in ordered(edges)),
        node(plan.score, SCORE, "stage-score", title, radius=24.0),
        *(
            node(plan.at[row["unit"]], row["name"], stages[row["role"]], described(row))
            for row in nodes.to_dict("records")
        ),
    ]
    legend = Markup("").join(
        Markup('<span><i class="{}"></i>{}</span>').format(colour, role)
        for role, colour in stages.items()
    )
    width, height = round(plan.width), round(plan.height)
    picture = Markup(
        '<svg class="circuit" style="max-width: {}px; min-width: {}px" viewBox="0 0 {} {}" '
        'role="img" aria-label="{}">{}</svg>'
    ).format(
        round(1.2 * width), round(0.8 * width), width, height, words(nodes), Markup("\n").join(body)
    )
    return Markup('<div class="legend">{}</div><div class="scroll">{}</div>').format(
        legend, picture
    )


def ordered(edges: Frame) -> list[Row]:
    """Weak lines first, so that strong ones lie above them; the faintest are left out."""
    size = edges["effect"].abs()
    strong = edges.assign(size=size)[size >= FAINTEST * size.max()]
    return strong.sort_values("size", kind="stable").to_dict("records")


def grid(plan: Plan) -> list[Markup]:
    """Layers as lines, tokens as columns."""
    right = plan.width - 4
    found = [
        Markup('<line class="layer" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
            LEFT, right, y=round(y, 1)
        )
        + Markup('<text class="axis" x="4" y="{}">layer {}</text>').format(round(y + 4, 1), layer)
        for layer, y in plan.middle.items()
    ]
    for role in plan.columns:
        x = plan.column(role)
        found.append(
            Markup('<g><title>{}: {}</title><text class="role" x="{}" y="{}">{}</text></g>').format(
                role, ROLES[role], round(x, 1), round(plan.ground + 22, 1), LABELS.get(role, role)
            )
        )
    return found


def line(edge: Row, plan: Plan, strongest: float) -> Markup:
    """A path from one head to another, or to the score."""
    start = plan.at.get(edge["sender"])
    end = plan.score if edge["receiver"] == SCORE else plan.at.get(edge["receiver"])
    if start is None or end is None:
        return Markup("")
    reach = 24 if edge["receiver"] == SCORE else RADIUS
    share = abs(edge["effect"]) / strongest if strongest else 0
    what = f" through {edge['read']}" if edge["read"] else ""
    text = (
        f"{edge['sender_name']} → {edge['receiver_name']}{what}: {edge['effect']:.3f} "
        f"({edge['low']:.3f} to {edge['high']:.3f})"
    )
    return Markup(
        '<path class="edge {}" d="{}" stroke-width="{}" opacity="{}"><title>{}</title></path>'
    ).format(
        "falls" if edge["effect"] < 0 else "rises",
        curve(Point(start.x, start.y - RADIUS), Point(end.x, end.y + reach)),
        round(1 + (WIDEST - 1) * share, 2),
        round(0.35 + 0.5 * share, 2),
        text,
    )


def reads(row: Row, plan: Plan) -> Markup:
    """The dotted line from the tokens a head reads, a layer below it, to the head."""
    if row["reads"] not in plan.columns:
        return Markup("")
    end = plan.at[row["unit"]]
    below = plan.middle.get(row["layer"] - 1, plan.ground)
    start = Point(plan.column(row["reads"]), below)
    return Markup(
        '<path class="reads" d="{}"><title>{}</title></path><circle class="source" cx="{}" cy="{}" '
        'r="3"/>'
    ).format(
        curve(start, Point(end.x, end.y + RADIUS)),
        described(row),
        round(start.x, 1),
        round(below, 1),
    )


def curve(start: Point, end: Point) -> str:
    """Leaves upwards and arrives upwards."""
    bend = max(14.0, abs(start.y - end.y) / 2)
    numbers = (start.x, start.y, start.x, start.y - bend, end.x, end.y + bend, end.x, end.y)
    return "M{} {}C{} {} {} {} {} {}".format(*(round(value, 1) for value in numbers))


def node(at: Point, name: str, stage: str, title: str, *, radius: float = RADIUS) -> Markup:
    """A disc with a name in it."""
    return Markup(
        '<g class="node {}"><title>{}</title><circle cx="{x}" cy="{y}" r="{}"/>'
        '<text x="{x}" y="{}">{}</text></g>'
    ).format(stage, title, radius, round(at.y + 4, 1), name, x=round(at.x, 1), y=round(at.y, 1))


def described(row: Row) -> str:
    """A member in words."""
    reads = f", reads {row['reads']} ({row['reads_share']:.0%})" if row["reads"] else ""
    effect = ""
    if not np.isnan(row["effect"]):
        effect = f"; restores {row['effect']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return f"{row['name']}, {row['role']}: writes at {row['writes']}{reads}{effect}"


def words(nodes: Frame) -> str:
    """The picture for those who do not see it."""
    parts = [
        f"{role}: {', '.join(own['name'] + ' at ' + own['writes'])}"
        for role, own in nodes.groupby("role", sort=False)
    ]
    return f"Circuit by layer and token role. {'; '.join(parts)}."
