"""The report in a real browser: it sorts, saves and says where one is; nothing is fetched."""

import csv
import io
from pathlib import Path

import pytest
from browser import needs_browser, opened


pytestmark = needs_browser


@pytest.fixture(scope="module")
def shown(finished):
    with opened((finished.folder / "report.html").as_uri()) as page:
        page.wait_for_selector(".js-plotly-plot .main-svg")
        yield page


def saved(page, button) -> str:
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_text()


def test_figures_are_saved_as_pictures_and_numbers(shown):
    figure = shown.locator("figure", has=shown.locator("[data-figure]")).last  # a heatmap
    rows = list(csv.DictReader(io.StringIO(saved(shown, figure.get_by_text("CSV")))))
    n_cells = shown.evaluate(
        "() => { const all = document.querySelectorAll('[data-figure]');"
        " return all[all.length - 1].data[0].z.flatMap((line) => [...line]).length; }"
    )
    assert len(rows) == n_cells and any("interval" in row["note"] for row in rows)
    assert saved(shown, figure.get_by_text("SVG")).startswith("<svg")


def test_a_press_on_a_name_sorts_and_another_turns(shown):
    table = shown.locator("table").last  # the tables of the run
    name = table.locator("th button").nth(1)

    def counts() -> list[int]:
        cells = table.locator("tbody td:nth-child(2)").all_text_contents()
        return [int(cell.replace(",", "")) for cell in cells]

    before = counts()
    name.press("Enter")
    assert counts() == sorted(before)
    name.press("Enter")
    assert counts() == sorted(before, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_the_outline_stays_and_says_where_one_is(shown):
    shown.evaluate("document.getElementById('methods').scrollIntoView()")
    shown.locator("nav a[aria-current]", has_text="Methods").wait_for()
    assert shown.locator("nav a[aria-current]").all_text_contents() == ["Methods"]
    assert shown.locator("nav").bounding_box()["y"] == 0


def test_nothing_is_fetched_and_nothing_fails(shown):
    assert shown.problems == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in shown.asked)


def test_values_above_one_are_explained(finished):
    page = (finished.folder / "report.html").read_text()
    above = (finished.read("units")["mean"] > 1).any()
    assert ("more than 100 %" in page) == bool(above)
