"""The files of onnxruntime-web that an exported page runs on.

They are taken from a folder that the user names, from the user's cache, or from the package that npm's registry holds,
whose bytes must be those that are expected here.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from thinkling.artifacts.run_folder import MANIFEST, cannot_write, find_fault, write_manifest
from thinkling.errors import InputError

VERSION = "1.22.0"
"""Of onnxruntime-web."""
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
"""Where the package is."""
SHA512 = "Ud/+EBo6mhuaQWt/OjaOk0iNWjXqJoeeMFr6xQEERZdIZH2OWpGzuujz7lfuOBjUa6TEE/sc4nb7Da5dNL34fg=="
"""SHA-512 of the package in base64, as the registry states it under `dist.integrity`."""
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What a page needs of it, out of the folder `dist`."""
LICENSE = "LICENSE.txt"
"""The file with the terms of onnxruntime-web, which is written beside it."""

_MOST_BYTES = 200_000_000
_SECONDS = 60.0
_BY_HAND = f"download {ADDRESS}, unpack it, and name its folder package/dist with --ort"
_MIT = """ONNX Runtime Web, https://github.com/microsoft/onnxruntime

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def runtime_files(folder: Path | None = None) -> Mapping[str, bytes]:
    """The files by name.

    Args:
        folder: where they lie, for instance `node_modules/onnxruntime-web/dist`; None: the user's cache, which is
            filled from npm's registry when it is empty.

    Raises:
        InputError: a file is missing in the folder, or the package cannot be fetched or is not the expected one.
    """
    return {**(_from_cache() if folder is None else _from_folder(folder)), LICENSE: _MIT.encode()}


def cache_folder() -> Path:
    """Where the files are kept between exports: below XDG_CACHE_HOME, or `.cache` in the home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "thinkling" / f"onnxruntime-web-{VERSION}"


def _from_folder(folder: Path) -> dict[str, bytes]:
    for name in FILES:
        if not (folder / name).is_file():
            raise InputError(
                f"--ort {folder} without {name}",
                "the folder dist of the npm package onnxruntime-web",
                "give node_modules/onnxruntime-web/dist, or leave --ort out",
            )
    return {name: (folder / name).read_bytes() for name in FILES}


def _from_cache() -> dict[str, bytes]:
    folder = cache_folder()
    if (folder / MANIFEST).exists() and find_fault(folder) is None:
        return {name: (folder / name).read_bytes() for name in FILES}
    files = unpacked(_fetched())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_manifest(folder, FILES)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return files


def unpacked(package: bytes) -> dict[str, bytes]:
    """The files out of the package.

    Raises:
        InputError: these are not the bytes that are expected.
    """
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if digest != SHA512:
        raise InputError(f"{ADDRESS} with the SHA-512 {digest:.16}…", f"{SHA512:.16}…", _BY_HAND)
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        members = {name: archive.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: member.read() for name, member in members.items() if member is not None}


def _fetched() -> bytes:
    print(f"fetching onnxruntime-web {VERSION} from {ADDRESS} …", file=sys.stderr, flush=True)
    try:
        with urllib.request.urlopen(ADDRESS, timeout=_SECONDS) as answer:
            content: bytes = answer.read(_MOST_BYTES)
            return content
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{ADDRESS}: cannot be fetched ({reason})", "a network that reaches npm's registry", _BY_HAND
        ) from error
