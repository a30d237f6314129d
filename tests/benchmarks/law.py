"""The cost law: how the time of a head sweep grows, and how its arithmetic says it should."""

from crosslens import patch

from .subject import Shape, Subject, subject
from .sweeps import recorded, swept
from .timing import interleaved, Table


def law(shape: Shape, *, tokens: int, pairs: int, rounds: int) -> list[Table]:
    """Seconds of a sweep of all heads, while one size at a time changes.

    Expected: the square of the layers (cells times the blocks behind them); the heads swept;
    the tokens and a little more (attention is their square); the pairs.

    Where it is less than linear, sizes are too small for what every sweep does once: the run
    without hooks, and batches that are not full. Where it is more, what a batch holds no longer
    fits the processor's caches, or the square of the tokens weighs.
    """
    n = shape.layers

    def sized(**changes: int) -> Subject:
        at = {"tokens": tokens, "pairs": pairs} | {
            k: v for k, v in changes.items() if k in ("tokens", "pairs")
        }
        return subject(shape._replace(layers=changes.get("layers", n)), **at)

    series = {
        "layers": {k: (sized(layers=k), 1.0) for k in (n // 3, 2 * n // 3, n, 2 * n) if k > 0},
        "heads": {k: (sized(), k / shape.heads) for k in _parts(shape.heads)},
        "tokens": {k: (sized(tokens=k), 1.0) for k in (tokens // 2, tokens, 2 * tokens)},
        "pairs": {k: (sized(pairs=k), 1.0) for k in (1, pairs, 2 * pairs)},
    }
    return [_table(name, sizes, rounds) for name, sizes in series.items()]


def _parts(n: int) -> list[int]:
    return sorted({max(1, n // 4), n // 2, n})


def _table(name: str, sizes: dict[int, tuple[Subject, float]], rounds: int) -> Table:
    arms, expected = {}, {}
    for size, (made, part) in sizes.items():
        n_heads = round(part * made.shape.heads)
        units = [unit for unit in made.model.heads() if dict(unit.coordinates)["head"] < n_heads]
        source = recorded(made, units)
        run = swept(made, [patch(unit, source) for unit in units])

        def once(run=run) -> float:
            run()
            return 1

        arms[f"{name} = {size}"] = once
        layers = [unit.site.layer or 0 for unit in units]
        flops = sum(made.of_suffix(i, after_attention=True) for i in layers)
        whole = 2 * made.shape.layers * made.of_block()  # the run without hooks, and its record
        expected[f"{name} = {size}"] = len(made.base) * (flops + whole)
    measured = interleaved(arms, rounds=rounds)
    first = next(iter(expected.values()))
    facts = {}
    for key, flops in expected.items():
        facts[f"{key}: arithmetic says x"] = flops / first
        facts[f"{key}: measured, of that"] = measured[key].ratio / (flops / first)
    return Table(f"cost law, {name}", "sweep", measured, facts)
