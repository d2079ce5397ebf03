"""The page: static files from a fixed list that is read when the server is made.

A request is looked up among the names of that list; no part of it ever becomes a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from thinkling.serving.errors import RequestError, as_json

PAGE = Path(__file__).parent / "page"
"""Where the page's files lie in this package."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
"""What kinds of files the page has; others that lie in the folder are not served."""

SAFETY_HEADERS = {
    # Nothing from elsewhere, no script in the page itself, no other site around it.
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What a browser is told about everything that belongs to the page."""


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """One file of the page."""

    content: bytes
    """The file."""
    media_type: str
    """What it is."""
    tag: str
    """The same tag is the same content (an ETag, RFC 9110 section 8.8.3)."""


def page_files(folder: Path = PAGE) -> dict[str, PageFile]:
    """The page's files by their name under the folder, with `/` between the parts.

    Args:
        folder: with `index.html` in it.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is None or not path.is_file():
            continue
        content = path.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        name = path.relative_to(folder).as_posix()
        files[name] = PageFile(content=content, media_type=media_type, tag=tag)
    return files


def page_router(files: Mapping[str, PageFile], manifest: Mapping[str, Any]) -> APIRouter:
    """`/`, `/page/*` and `/manifest.json`.

    Args:
        files: by name, as `page_files` returns them.
        manifest: what the page must know: backend, product, name, description, examples.
    """
    router = APIRouter()
    told = as_json(dict(manifest))

    @router.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return _answer(request, files, "index.html")

    @router.get("/page/{name:path}", include_in_schema=False)
    async def page(request: Request, name: str) -> Response:
        return _answer(request, files, name)

    @router.get("/manifest.json", include_in_schema=False)
    async def described() -> Response:
        headers = SAFETY_HEADERS | {"cache-control": "no-store"}
        return Response(told, media_type="application/json", headers=headers)

    return router


def _answer(request: Request, files: Mapping[str, PageFile], name: str) -> Response:
    """A file by its name in the list."""
    file = files.get(name)
    if file is None:
        raise RequestError(
            f"no file of this name: {name!r:.80}",
            "the files that the page itself asks for",
            "open the page at /",
            code="not_found",
            status=404,
        )
    # Asked for each time, sent only where it has changed.
    headers = SAFETY_HEADERS | {"cache-control": "no-cache", "etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
