"""The page and what stands beside it: a fixed list of files, the manifest, the description for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from small_puzzles import LIMIT, Client, knowing_model, puzzles, serving_puzzles

from thinkling.errors import InputError
from thinkling.serving.app import create_app
from thinkling.serving.docs_page import docs_page
from thinkling.serving.page_routes import MEDIA_TYPES, PAGE, page_files, page_router
from thinkling.serving.settings import ServerSettings


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving_puzzles(knowing_model(), ServerSettings(model_name="tiny")) as client:
        yield client


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "parts").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>hello")
    (folder / "app.js").write_text("export {};")
    (folder / "parts" / "grid.js").write_text("export const grid = 1;")
    (folder / "notes.txt").write_text("no part of the page")
    (folder / ".hidden").write_text("nor this")
    (tmp_path / "secret.js").write_text("outside")
    return folder


@pytest.fixture
def static(page: Path) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(page_router(page_files(page), {"backend": "http"}))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_only_the_page_s_own_files_are_read(page: Path) -> None:
    files = page_files(page)
    assert set(files) == {"index.html", "app.js", "parts/grid.js"}
    assert files["app.js"].media_type.startswith("text/javascript")


def test_files_come_with_their_type_and_a_tag(static: TestClient) -> None:
    index = static.get("/")
    assert (index.status_code, index.text) == (200, "<!doctype html>hello")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in index.headers["content-security-policy"]
    assert index.headers["x-content-type-options"] == "nosniff"
    again = static.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert static.get("/page/parts/grid.js").text == "export const grid = 1;"
    assert static.get("/manifest.json").json() == {"backend": "http"}


def test_a_file_that_comes_later_is_not_served(static: TestClient, page: Path) -> None:
    """No request reaches the file system: the list is the one that was read at the start."""
    (page / "late.js").write_text("late")
    (page / "app.js").write_text("changed")
    assert static.get("/page/app.js").text == "export {};"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../secret.js",
        "/page/..%2fsecret.js",
        "/page/%2e%2e/secret.js",
        "/page/parts/../../secret.js",
        "/page//etc/passwd",
        "/page/notes.txt",
        "/page/.hidden",
        "/page/",
        "/page/parts",
        "/page/app.js%00",
        "/page/APP.JS",
        "/page/C:%5Cwindows",
        "/secret.js",
    ],
)
def test_no_path_reaches_the_file_system(client: Client, static: TestClient, path: str) -> None:
    # By a plain connection: other clients tidy the path up before they send it.
    status, error = client.call("GET", path)
    assert status == 404
    assert error["error"]["type"] == "invalid_request_error"
    assert static.get(path).status_code in (404, 500)  # this bare application has no words for errors


def test_the_manifest_says_what_the_page_needs(client: Client) -> None:
    status, manifest = client.call("GET", "/manifest.json")
    assert status == 200
    assert (manifest["backend"], manifest["product"], manifest["name"]) == ("http", "puzzles", "tiny")
    assert manifest["description"] == client.call("GET", "/v1/models/tiny")[1]
    for example in manifest["examples"]:
        assert client.solve(puzzle=example["puzzle"])[1]["results"][0]["status"] == "verified"


def test_the_model_is_described(client: Client) -> None:
    (model,) = client.call("GET", "/v1/models")[1]["data"]
    assert model["grid"] == {"rows": 4, "columns": 4, "block": [2, 2]}
    assert model["symbols"] == ["?", ".", "1", "2", "3", "4"]
    assert model["task"] == {"name": "sudoku", "size": 4}
    assert (model["limit"], model["halt"], model["product"]) == (LIMIT, "valid", "puzzles")
    assert model["has_checker"]
    assert model["has_symmetries"]
    assert model["can_search"]
    assert client.call("GET", "/v1/models/other")[0] == 404


def test_the_description_for_programs_names_every_route(client: Client) -> None:
    status, document = client.call("GET", "/openapi.json")
    assert status == 200
    assert set(document["paths"]) == {
        "/v1/solve",
        "/v1/models",
        "/v1/models/{asked}",
        "/health",
        "/metrics",
    }
    content = document["paths"]["/v1/solve"]["post"]["requestBody"]["content"]["application/json"]
    assert "puzzle" in content["schema"]["properties"]
    assert client.call("POST", "/v1/solve", content["example"])[0] == 200


def test_the_page_of_documentation_fetches_nothing_from_elsewhere(client: Client) -> None:
    status, page = client.call("GET", "/docs")
    assert status == 200
    assert "/v1/solve" in page
    assert "budget" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)


def test_what_a_description_says_is_text_and_no_markup() -> None:
    operation = {"description": "<script>alert(1)</script>"}
    document = {"info": {"title": "<b>", "version": "1"}, "paths": {"/<i>": {"get": operation}}}
    page = docs_page(document)
    assert "<script>" not in page
    assert "<b>1" not in page
    assert "/&lt;i&gt;" in page


def test_a_file_of_examples_is_read_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("question\n" + "\n".join(puzzles(3)) + "\n")
    app = create_app(knowing_model(), ServerSettings(), examples=file)
    file.unlink()
    with TestClient(app, base_url="http://localhost") as client:
        assert [example["puzzle"] for example in client.get("/manifest.json").json()["examples"]] == puzzles(
            3
        )
    file.write_text("question\n123\n")
    with pytest.raises(InputError, match=r"mine.csv line 2"):
        create_app(knowing_model(), ServerSettings(), examples=file)


def test_every_file_of_our_page_is_served(client: Client) -> None:
    for path in PAGE.rglob("*"):
        if path.suffix in MEDIA_TYPES:
            assert client.call("GET", f"/page/{path.relative_to(PAGE).as_posix()}")[0] == 200
