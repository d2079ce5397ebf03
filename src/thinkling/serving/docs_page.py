"""`/docs`: the description in `/openapi.json` as one page without a script, so that nothing comes from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: 1rem 0; }
h2 { font: 600 1.1rem ui-monospace, monospace; margin: 0; }
h2 b { display: inline-block; min-width: 4em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; }
code, pre { font-family: ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; background: color-mix(in srgb, currentColor 8%, transparent); }
"""


def docs_page(description: Mapping[str, Any]) -> str:
    """The page of a description.

    Args:
        description: an OpenAPI document.
    """
    sections = [
        _section(method, path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(description["info"]["title"])
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>"
        f"<h1>{title} {escape(description['info']['version'])}</h1>"
        f"<p>{escape(description['info'].get('description', ''))}</p>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>. '
        'For people: <a href="./">the page</a>.</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    about = escape(operation.get("description", operation.get("summary", "")))
    parts = [f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2><p>{about}</p>"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    properties = content.get("schema", {}).get("properties", {})
    if properties:
        rows = "".join(
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(schema))}</td>"
            f"<td>{escape(schema.get('description', ''))}</td></tr>"
            for name, schema in properties.items()
        )
        parts.append(
            f'<div class="scroll"><table><tr><th>field<th>type<th>what it is</tr>{rows}</table></div>'
        )
    if "example" in content:
        body = escape(json.dumps(content["example"], ensure_ascii=False))
        parts.append(f"<pre>{body}</pre>")
    parts.append("</section>")
    return "".join(parts)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    between = "" if low is None else f" {low}–{high}" if high is not None else f" from {low}"
    return f"{schema.get('type', 'any')}{between}"
