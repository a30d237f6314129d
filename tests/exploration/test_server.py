"""The server: the page for the one who opened it, nothing for anybody else."""

import pytest

from crosslens import load, plant


testclient = pytest.importorskip("starlette.testclient")

PORT, TOKEN = 4321, "secret"
HOST = f"127.0.0.1:{PORT}"
GOOD = {"X-Token": TOKEN, "Origin": f"http://{HOST}"}


@pytest.fixture(scope="module")
def client():
    from crosslens.exploration.server import application

    app = application(load(plant("bm25")), PORT, TOKEN)
    return testclient.TestClient(app, base_url=f"http://{HOST}")


def test_the_page_comes_with_the_token_and_a_policy(client):
    found = client.get("/", params={"token": TOKEN})
    assert found.status_code == 200 and "CrossLens" in found.text
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in found.text.replace("http-equiv", "")


def test_answers_are_given_and_errors_named(client):
    asked = {"query": "canoe", "passages": ["a canoe"], "interventions": []}
    found = client.post("/ask/scores", json=asked, headers=GOOD)
    assert found.status_code == 200 and found.json()["plain"][0] > 0
    wrong = client.post("/ask/scores", json={**asked, "interventions": ["x"]}, headers=GOOD)
    assert wrong.status_code == 400 and "none begins with 'x'" in wrong.json()["error"]
    for content in (b"", b"[]", b"{"):
        assert client.post("/ask/scores", content=content, headers=GOOD).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Token": "other"},
        {**GOOD, "Origin": "http://evil.example"},
        {**GOOD, "Origin": "null"},
        {**GOOD, "Host": "evil.example"},
        {**GOOD, "Host": f"127.0.0.1:{PORT + 1}"},
    ],
)
def test_nobody_else_may_ask(client, headers):
    assert client.post("/ask/model", json={}, headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 403


def test_what_is_too_large_is_refused(client):
    assert client.post("/ask/model", content=b"x" * 2_000_001, headers=GOOD).status_code == 413
