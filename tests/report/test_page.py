"""One page: whole, self-contained, readable without a network, a mouse or eyes."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from crosslens import Findings
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import marked, page, underlined


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Reader(HTMLParser):
    """What a browser would load, and what a reader would find."""

    def __init__(self, html: str):
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.drawn: list[dict] = []
        self.tables = self.captions = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag != "a" and (link := given.get("src") or given.get("href")):
            self.loads.append(link)
        if tag == "a":
            self.anchors.append(given["href"])
        if "id" in given:
            self.ids.append(given["id"])
        if "data-figure" in given:
            self.drawn.append(given)
        self.tables += tag == "table"
        self.captions += tag == "caption"


@pytest.fixture(scope="module")
def html(finished) -> str:
    return (finished.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def read(html) -> Reader:
    return Reader(html)


def test_the_page_loads_nothing(read, html):
    assert read.loads == ["data:,"]  # an empty icon, so that none is asked for
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert html.count("plotly.js v") == 1, "the library stands in it once"


def test_every_figure_has_its_numbers_and_its_words(read, html):
    assert len(read.drawn) >= 2 + 4 + 4  # reactions and types, TFC1 and TFC2
    for box in read.drawn:
        assert len(box["aria-label"]) > 20
        body = re.search(rf'id="{box["data-figure"]}">(.*?)</script>', html, re.DOTALL)
        assert body and json.loads(body[1])["data"]


def test_every_table_has_a_caption_and_every_link_an_end(read):
    assert read.tables == read.captions > 3
    assert len(read.ids) == len(set(read.ids))
    assert {link.removeprefix("#") for link in read.anchors} <= set(read.ids)


def test_the_page_says_what_was_found_and_how(html, finished):
    for text in finished.read("statements")["text"]:
        assert text.replace("'", "&#39;") in html
    for needed in (
        "Lu, Chen and Eickhoff",
        "read_parquet",
        "seed 0",
        finished.meta["weights"][:16],
    ):
        assert needed in html


def test_it_is_the_same_page_when_made_again(finished, html):
    assert page(Findings.open(finished.folder)) == html


def test_an_edit_is_marked_and_text_stays_text():
    assert str(marked("a <b> cats", [[6, 10]])) == "a &lt;b&gt; <mark>cats</mark>"
    assert str(underlined("Why <cats>", "cats")) == "Why &lt;<u class='term'>cats</u>&gt;"
    assert str(underlined("why", "dogs")) == "why"


def test_hostile_texts_cannot_leave_their_place(tmp_path, planted, few, question):
    evil = "</script><script>alert(1)</script>"
    texts = {key: f"{text} {evil}" for key, text in few.documents.items()}
    bad = replace(few, documents=texts, name=evil, types={k: evil for k in few.types})
    asked = replace(question, pairs=2, signals=("TFC1",))
    findings = Findings.create(tmp_path, asked.config, provenance=provenance(bad, model=planted))
    measure(asked, planted, bad, findings)
    assert "<script>alert" not in page(findings)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_chromium_draws_it_without_an_error_or_a_request(finished, read, tmp_path):
    assert CHROMIUM is not None
    log = tmp_path / "net.json"
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={log}",
            "--enable-logging=stderr",
            "--v=0",
            "--virtual-time-budget=10000",
            "--dump-dom",
            (finished.folder / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert done.stdout.count("js-plotly-plot") >= len(read.drawn)
    requested = re.findall(r'"url":\s*"(https?:[^"]+)"', log.read_text())
    ours = [url for url in requested if "google" not in url and "gstatic" not in url]
    assert not ours
