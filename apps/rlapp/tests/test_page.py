"""The page as it is served: to whom, with which headers, and what it may load."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from played import PASSWORD, PlayedRunner, config_in
from rlapp.app import create_app
from rlapp.config import Config, ConfigError
from rlapp.service import build

PUBLIC = {"sign-in.html", "sign-in.js", "api.js", "base.css", "icon.svg"}
TILES = {"url": "https://{s}.tiles.test/{z}/{x}/{y}.png", "attribution": "© somebody"}


@pytest.fixture
def page(tmp_path: Path, page_folder: Path) -> TestClient:
    """Somebody who has not signed in, at a service with a page."""
    return _client(tmp_path, page=page_folder)


def _client(folder: Path, **changes: object) -> TestClient:
    config = Config.model_validate({**config_in(folder).model_dump(), **changes})
    service = build(config, PlayedRunner(config.handoffs.results_dir))
    return TestClient(create_app(service), base_url="https://rlapp.mec.test")


def test_a_stranger_sees_what_signing_in_takes_and_nothing_else(
    page: TestClient, page_folder: Path
) -> None:
    answer = page.get("/", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in"
    assert page.get("/sign-in").status_code == 200
    names = {file.name for file in page_folder.iterdir()}
    assert len(names) > 15
    for name in names:
        assert page.get(f"/page/{name}").status_code == 401, name
        assert page.get(f"/open/{name}").status_code == (200 if name in PUBLIC else 404), name


def test_who_has_signed_in_gets_all_of_it_once(page: TestClient, page_folder: Path) -> None:
    page.post("/api/session", json={"password": PASSWORD})
    console = page.get("/")
    assert console.content == (page_folder / "console.html").read_bytes()
    for file in page_folder.iterdir():
        answer = page.get(f"/page/{file.name}")
        assert answer.content == file.read_bytes()
        assert answer.headers["cache-control"] == "private, no-cache"
        again = page.get(f"/page/{file.name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304 and again.content == b""


def test_a_link_that_was_used_leads_a_browser_to_signing_in(page: TestClient) -> None:
    browser = {"Accept": "text/html,*/*;q=0.8"}
    answer = page.get("/sign-in/used", headers=browser, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in#used"


@pytest.mark.parametrize("name", ["..%2frlapp%2fapi.py", "%2e%2e", "%00", "console.html%2f", "x"])
def test_names_are_no_paths(page: TestClient, name: str) -> None:
    page.post("/api/session", json={"password": PASSWORD})
    assert page.get(f"/page/{name}").status_code == 404
    assert page.get(f"/open/{name}").status_code == 404


def test_every_answer_has_the_headers(page: TestClient) -> None:
    for path in ("/sign-in", "/", "/open/base.css", "/page/map.js", "/api/state", "/nowhere"):
        headers = page.get(path, follow_redirects=False).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["img-src"] == "'self' data:"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["strict-transport-security"].startswith("max-age=")


def test_the_policy_follows_the_source_of_tiles(tmp_path: Path, page_folder: Path) -> None:
    page = _client(tmp_path, page=page_folder, tiles=TILES)
    policy = page.get("/sign-in").headers["content-security-policy"]
    assert "img-src 'self' data: https://*.tiles.test;" in policy
    page.post("/api/session", json={"password": PASSWORD})
    assert page.get("/api/state").json()["tiles"] == {**TILES, "zoom_max": 19}


@pytest.mark.parametrize(
    "url",
    [
        "https://tiles.test/{z}/{x}.png",
        "https://tiles.test; script-src 'unsafe-inline'/{z}/{x}/{y}",
        "javascript:alert(1)/{z}/{x}/{y}",
        "https://{z}.tiles.test/{x}/{y}",
    ],
)
def test_what_is_no_source_of_tiles_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="tiles"):
        _client(tmp_path, tiles={**TILES, "url": url})


def test_a_page_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        _client(tmp_path, page=tmp_path / "none")
    source = Path(__file__).parents[1] / "page"
    with pytest.raises(ConfigError, match=r"lacks leaflet\.css, .*apps/rlapp/prepare"):
        _client(tmp_path, page=source)


def test_nothing_of_it_is_written_into_documents(page_folder: Path) -> None:
    """No inline script, no inline style, and nothing that parses text as HTML."""
    wrong = ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "<style")
    own = Path(__file__).parents[1] / "page"
    for file in own.iterdir():
        text = file.read_text(encoding="utf-8")
        for wrong in (
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
            "<style",
        ):
            assert wrong not in text, (file.name, wrong)
        if file.suffix == ".html":
            assert text.count("<script") == text.count('<script type="module" src="/') == 1
    assert {file.name for file in own.iterdir()} < {file.name for file in page_folder.iterdir()}


def test_without_a_page_there_is_an_api(stranger: TestClient) -> None:
    answer = stranger.get("/sign-in")
    assert answer.status_code == 404 and "no page" in answer.json()["detail"]
