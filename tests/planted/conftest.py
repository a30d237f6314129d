"""Real text for planted models: short passages, and queries and documents drawn from them."""

import random
from collections.abc import Callable

import pytest


PASSAGES = (
    """
Cats purr when they rest, and often when they are hurt. The sound comes from the muscles of the
larynx, which open and close the glottis some twenty-five times per second.

A car engine turns heat into motion. Fuel burns inside the cylinders, the hot gas pushes the
pistons down, and a crankshaft turns that push into rotation that drives the wheels of the car.

Paris is the capital and the largest city of France. It stands on the river Seine, and more than
two million people live within its limits; the whole region holds over twelve million.

Bananas are rich in potassium. One medium banana gives about 420 milligrams, roughly a tenth of
what an adult needs in a day, together with vitamin B6, vitamin C and some fibre.

A python is a large snake that kills by constriction. The doctor who treats a snake bite first
asks which snake it was; pythons have no venom, so the wound of a python is cleaned and closed.

The stock market fell sharply in October 1929. Banks that had lent money against stock failed,
savings were lost, and within three years a quarter of American workers had no work.

Photosynthesis stores the energy of light in sugar. Leaves take in water and carbon dioxide, and
give off oxygen; the green pigment chlorophyll absorbs mostly red and blue light.

To repot an orchid, wait until it has stopped flowering. Trim dead roots, choose a pot barely
larger than the old one, and use bark, not soil: the roots of an orchid need air.

A court may order the losing party to pay the costs of the winner. In the United States each
party usually pays its own lawyer, whoever wins, unless a law or a contract says otherwise.

Memory in a computer is volatile: what it holds is lost when the power goes. A disk keeps its data
without power, but is thousands of times slower than memory.

High blood pressure seldom causes symptoms. Left untreated for years it damages the heart, the
kidneys and the blood vessels of the brain, and so raises the risk of a stroke.

Rain forms when tiny drops in a cloud run together until they are too heavy to stay up. Cold clouds
make rain another way: ice crystals grow, fall, and melt on their way to the ground.
""".strip()
    .replace("\n\n", "\0")
    .replace("\n", " ")
    .split("\0")
)

Drawn = tuple[str, list[str]]


def draw(seed: int, n_documents: int = 12, most_passages: int = 4) -> Drawn:
    """A query of two to seven words, and documents that hold some of them, once or often."""
    dice = random.Random(seed)
    words = dice.choice(PASSAGES).replace(",", "").replace(".", "").split()
    query = dice.sample(words, dice.randint(2, 7))
    documents = []
    for _ in range(n_documents):
        text = " ".join(dice.sample(PASSAGES, dice.randint(1, most_passages))).split()
        text = text[: dice.randint(8, len(text))] + dice.choices(query, k=dice.randint(0, 4))
        documents.append(" ".join(text))
    return " ".join(query), documents


@pytest.fixture
def passages() -> list[str]:
    return PASSAGES


@pytest.fixture
def drawn() -> Callable[..., Drawn]:
    return draw
