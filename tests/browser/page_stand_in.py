"""The page with a server that answers from a script, for tasks whose models are not trained in a test."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from thinkling.serving.page_routes import MEDIA_TYPES, PAGE

PLACE = "http://localhost:9/"
"""Nothing listens there: every request of the page is answered by the test. A browser trusts this name."""


def description(task: dict[str, Any], grid: tuple[int, int], **more: Any) -> dict[str, Any]:
    """What /v1/models says of a model."""
    return {
        "task": task,
        "product": "puzzles",
        "params": 841_730,
        "limit": 16,
        "max_steps": 1024,
        "max_samples": 64,
        "max_budget": 20_000,
        "grid": {"rows": grid[0], "columns": grid[1], "block": list(grid)},
        "has_checker": True,
        "has_symmetries": True,
        "can_search": False,
        **more,
    }


def manifest(about: dict[str, Any], examples: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    """What /manifest.json says."""
    return {
        "backend": "http",
        "product": "puzzles",
        "name": "made-up",
        "description": about,
        "examples": examples,
        **more,
    }


def stream(answers: list[str], confidences: list[list[float]], status: str, **more: Any) -> str:
    """A streamed answer of /v1/solve whose last segment is the result."""
    events = []
    for step, (answer, confidence) in enumerate(zip(answers, confidences, strict=True), 1):
        segment = {
            "index": 0,
            "step": step,
            "answer": answer,
            "confidence": confidence,
            "q_halt": step / (len(answers) + 1),
            "q_continue": 0.1,
            "residual": 0.5**step,
        }
        events.append(("segment", segment))
    result = {
        "index": 0,
        "question": "",
        "answer": answers[-1],
        "status": status,
        "steps": len(answers),
        "limit": 16,
        "max_steps": 1024,
        "max_samples": 64,
        "max_budget": 20_000,
        "q_halt": 0.9,
        "samples": 1,
        "solved_by": "network" if status == "verified" else None,
        "points": [[step, step % 2] for step in range(len(answers))],
        **more,
    }
    events += [("answer", result), ("done", {})]
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)


class StandIn:
    """Answers the requests of a page.

    Args:
        told: the manifest.
        answer: the body of every answer of /v1/solve: a stream, or an error with its status.
        files: further files by their address.
    """

    def __init__(
        self,
        told: dict[str, Any],
        answer: str = "",
        *,
        status: int = 200,
        files: dict[str, str] | None = None,
    ) -> None:
        self.told, self.answer, self.status, self.files = told, answer, status, files or {}
        self.asked: list[dict[str, Any]] = []
        """What /v1/solve was asked."""

    def serve(self, page: Any) -> None:
        """From now on for a page of the browser, its workers included."""
        page.context.route("**/*", self._fulfil)

    def _fulfil(self, route: Any) -> None:
        path = urlsplit(route.request.url).path.removeprefix("/")
        if path == "manifest.json":
            route.fulfill(json=self.told)
        elif path == "v1/solve":
            self.asked.append(json.loads(route.request.post_data))
            kind = "text/event-stream" if self.status == 200 else "application/json"
            route.fulfill(status=self.status, body=self.answer, content_type=kind)
        elif path in self.files:
            route.fulfill(body=self.files[path], content_type="text/javascript")
        else:
            name = path.removeprefix("page/") or "index.html"
            file = PAGE / name
            if file.is_file():
                route.fulfill(body=file.read_bytes(), content_type=MEDIA_TYPES[file.suffix])
            else:
                route.fulfill(status=404, body="")
