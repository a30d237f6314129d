"""The page in a real browser: typing, toggling, hovering; nothing from elsewhere, nothing run."""

import json
import threading
from urllib.parse import unquote

import pytest
from browser import needs_browser, opened

from crosslens import load, plant
from crosslens.exploration import Answers


pytest.importorskip("uvicorn")
pytestmark = needs_browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> canoe'


@pytest.fixture(scope="module")
def model():
    return load(plant("bm25"))


@pytest.fixture(scope="module")
def address(model):
    from crosslens.exploration.server import serve

    found, there = [], threading.Event()

    def ready(address: str) -> None:
        found.append(address)
        there.set()

    threading.Thread(target=serve, args=(model, 0), kwargs={"ready": ready}, daemon=True).start()
    assert there.wait(30)
    return found[0]


@pytest.fixture
def page(address):
    with opened(address) as page:
        page.wait_for_selector(".tokens button")
        yield page


def write(page, query, *passages):
    page.get_by_label("Query", exact=True).fill(query)
    while page.locator(".passage").count() > len(passages):
        page.locator(".remove").last.click()
    while page.locator(".passage").count() < len(passages):
        page.get_by_role("button", name="Add a passage").click()
    for i, text in enumerate(passages, start=1):
        page.get_by_label(f"Passage {i}", exact=True).fill(text)


def score(page, i):
    return float(page.locator(".passage .score").nth(i).text_content().split()[0])


def until(page, holds):
    """Waits, ten seconds at most, until something holds."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(page.locator(".error").text_content() or "it never held")


def settled(page, expected):
    """Waits until the page shows these scores."""

    def holds():
        shown = page.locator(".passage .score").all_text_contents()
        found = [float(text.split()[0]) for text in shown if text != "no text yet"]
        return found == pytest.approx(expected, abs=2e-3)

    until(page, holds)


def says(page, selector, text):
    until(page, lambda: text in page.locator(selector).first.text_content())


def test_typing_toggling_hovering(page, model):
    answers = Answers(model)
    state = {"query": "canoe paddle", "passages": ["a bus needs a canoe", "a canoe needs a paddle"]}
    write(page, state["query"], *state["passages"])
    settled(page, answers("scores", state)["plain"])
    assert page.locator(".passage .rank").all_text_contents() == ["2", "1"]

    layer, head = plant("bm25").placement.matching
    edits = [f"ablate {layer}.{head}"]
    button = page.get_by_label(f"Head {layer}.{head}", exact=True)
    button.click()
    settled(page, answers("scores", {**state, "interventions": edits})["edited"])
    assert button.get_attribute("aria-pressed") == "true"
    assert "rank was 1" in page.locator(".passage .moved").nth(1).text_content()
    says(page, "pre", edits[0])
    button.press("Enter")  # by keyboard, back
    settled(page, answers("scores", state)["plain"])

    page.get_by_label("the query cannot read the passage").check()
    hidden = {**state, "interventions": ["mask document->query"]}
    settled(page, answers("scores", hidden)["edited"])
    page.get_by_label("the query cannot read the passage").uncheck()

    page.get_by_label("Layer of the attention shown").select_option(str(layer))
    page.get_by_label("Head of the attention shown").select_option(str(head))
    page.get_by_label("Passage whose attention is shown").select_option("1")
    says(page, ".tokens", "needs")
    token = page.locator("[data-part=query] button").nth(1)  # 0 is [CLS]
    token.hover()
    says(page, "[aria-live]", f"“{token.text_content()}”")
    assert "of its attention to the query" in page.locator("[aria-live]").text_content()
    assert page.problems == []
    assert all(url.startswith("http://127.0.0.1:") for url in page.asked)


def test_the_state_lives_in_the_address(page, address):
    write(page, "canoe", "a canoe on the road")
    page.get_by_label("Head 1.0", exact=True).click()
    until(page, lambda: "1.0" in page.url)
    kept = page.url
    state = json.loads(unquote(kept.split("#", 1)[1]))
    assert state["passages"] == ["a canoe on the road"] and state["silenced"] == ["1.0"]
    page.goto("about:blank")
    page.goto(kept)
    page.wait_for_selector(".tokens button")
    assert page.get_by_label("Passage 1", exact=True).input_value() == "a canoe on the road"
    assert page.get_by_label("Head 1.0", exact=True).get_attribute("aria-pressed") == "true"


def test_hostile_text_is_shown_never_run(page):
    write(page, HOSTILE, HOSTILE)
    says(page, ".tokens", "onerror")
    assert page.title() == "CrossLens explore"
    assert page.locator(".cl img, .cl script").count() == 0


def test_what_is_wrong_is_said_and_nothing_is_lost(page):
    write(page, "canoe", "a canoe")
    page.get_by_label("Further interventions, one a line").fill("ablte 1.0")
    says(page, ".error", "ablate")
    page.get_by_label("Further interventions, one a line").fill("ablate 1.0")
    until(page, lambda: not page.locator(".error").text_content())
    assert page.get_by_label("Passage 1", exact=True).input_value() == "a canoe"
    # the browser logs each refused request, sooner or later; nothing else went wrong
    assert all("400 (Bad Request)" in problem for problem in page.problems)
