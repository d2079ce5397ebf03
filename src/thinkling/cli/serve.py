"""`thinkling serve RUN`: a page for a browser and an interface for programs, on this machine only by default."""

from __future__ import annotations

import importlib
import ipaddress
import socket
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments, rows_and_columns
from thinkling.cli.output import write_json
from thinkling.errors import InputError
from thinkling.serving.settings import LOOPBACK_HOSTS, ServerSettings

_SETTINGS = tuple(
    field.name for field in fields(ServerSettings) if field.name not in ("model_name", "allowed_hosts")
)
"""Limits and defaults of the server: flags of the same name."""
_SECONDS_TO_FINISH = 3
"""After Ctrl+C, for answers that are being made."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Serve a model: a page that shows it thinking, and an interface for programs.

    Puzzles are solved at /v1/solve, masks are filled at /v1/fill, and conversations go on at /v1/chat/completions for
    any client of OpenAI's interface; /docs says more.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")] = Path(
        "sudoku"
    )
    """A run folder, or hf://OWNER/NAME: puzzles, a Thinking-BERT, or a language model for conversations.

    Where not given: the Sudoku model that comes with the package.
    """
    host: str = "127.0.0.1"
    """Address to listen at. 127.0.0.1 is reached from this machine only, 0.0.0.0 from the whole network."""
    port: int = 8000
    """Port to listen at (0: any that is free)."""
    name: str = ""
    """What clients call the model (empty: the name of its folder)."""
    slots: int = ServerSettings.slots
    """Chains of thought, or answers, in work at once; further ones wait."""
    thinkers: int = ServerSettings.thinkers
    """Threads that think about puzzles, each with slots of its own (0: two where there are two cores, else one)."""
    max_waiting: int = ServerSettings.max_waiting
    """Answers of a language model that may wait for a slot."""
    max_waiting_puzzles: int = ServerSettings.max_waiting_puzzles
    """Puzzles, or texts with masks, that may wait for a slot."""
    max_body_bytes: int = ServerSettings.max_body_bytes
    """Longest body of a request."""
    max_puzzles: int = ServerSettings.max_puzzles
    """Most puzzles, or texts with masks, of a request."""
    max_traced: int = ServerSettings.max_traced
    """Most segments of a request that asks for what the model thought."""
    max_steps: int = ServerSettings.max_steps
    """Most segments that a request may ask for."""
    max_samples: int = ServerSettings.max_samples
    """Most chains a puzzle that a request may ask for."""
    max_budget: int = ServerSettings.max_budget
    """Most segments a puzzle that a request may allow to a search."""
    max_segments: int = ServerSettings.max_segments
    """Most segments that a request may cost altogether."""
    max_top_k: int = ServerSettings.max_top_k
    """Most candidates for a mask that a request may ask for."""
    max_choices: int = ServerSettings.max_choices
    """Most answers of a language model to one request."""
    max_tokens: int = ServerSettings.max_tokens
    """Most tokens of an answer (0: as many as the context has room for)."""
    temperature: float = ServerSettings.temperature
    """For a language model, where a request names none; 0: always the likeliest token."""
    think_budget: int | None = ServerSettings.think_budget
    """Most tokens of reasoning, where a request names no budget."""
    examples: Path | None = None
    """For puzzles: a CSV file with a column question that the page offers to begin with."""
    task: Path | None = None
    """For a table: a Python file with its checker; naming it here runs it."""
    grid: str = ""
    """For a maze model with local mixing: the size to use it on, such as 30x30, if it is not the trained one."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let a language model use kernels that this machine's C++ compiler makes first; on a CPU it is faster."""


def run(arguments: Arguments) -> int:
    """Serve until told to stop."""
    uvicorn = _uvicorn()
    only_here = is_loopback(arguments.host)
    settings = ServerSettings(
        model_name=arguments.name or Path(arguments.run_folder).resolve().name,
        allowed_hosts=(*LOOPBACK_HOSTS, arguments.host) if only_here else (),
        **{name: getattr(arguments, name) for name in _SETTINGS},
    )
    # Before the model is loaded: a port that is taken is known at once.
    with listening(arguments.host, arguments.port) as listener:
        app, params = _app(arguments, settings)
        url = address(listener)
        if not only_here:
            print(_everybody(arguments.host), file=sys.stderr)
        if arguments.json:
            page = url.removesuffix("v1")
            write_json({"url": url, "page": page, "model": settings.model_name, "params": params})
        else:
            print(
                f"{settings.model_name} ({params:,} parameters)\n"
                f"  for a browser  {url.removesuffix('v1')}\n"
                f"  for programs   {url}\n"
                "Ctrl+C stops it",
                flush=True,
            )
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            )
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)  # as is usual for a server: nothing went wrong
    return 0


def _app(arguments: Arguments, settings: ServerSettings) -> tuple[Any, int]:
    """The application and the model's number of parameters."""
    from thinkling.models import load
    from thinkling.serving.app import create_app

    model: Any = load(
        arguments.run_folder,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
        task=arguments.task,
    )
    if arguments.compile:
        if not hasattr(model, "compile"):
            raise InputError("--compile", "a language model", "leave it out")
        model.compile()
    if arguments.grid:
        rows, columns = rows_and_columns("--grid", arguments.grid)
        if not hasattr(model, "on_grid"):
            raise InputError(f"--grid {arguments.grid}", "a model of mazes", "leave it out")
        model = model.on_grid(rows, columns)
    return create_app(model, settings, examples=arguments.examples), model.params


def _uvicorn() -> Any:
    """The web server's module.

    Raises:
        InputError: what serving needs is not installed.
    """
    try:
        importlib.import_module("fastapi")
        return importlib.import_module("uvicorn")
    except ImportError as error:
        raise InputError(
            f"serving without the package {error.name}",
            "an installation with the extra 'serve'",
            "install it: pip install 'thinkling[serve]'",
        ) from None


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections.

    Args:
        host: a name or an address of this machine.
        port: 0: any that is free.

    Raises:
        InputError: no such address here, or a port that is taken, forbidden or none.
    """
    given = f"--host {host} --port {port}"
    if not 0 <= port <= 65535:
        raise InputError(given, "a port from 0 (any that is free) to 65535", "give another --port")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise InputError(
            f"{given}: {why or error}",
            "an address of this machine and a port that nobody uses",
            "give another --port (0 finds one) or --host",
        ) from None


def address(listener: socket.socket) -> str:
    """What clients are given as the base of their addresses."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _everybody(host: str) -> str:
    line = "!" * 100
    return (
        f"{line}\nWARNING: listening at {host}. Everybody who reaches this machine over the network can use the model:"
        "\nthere is neither a password nor encryption. Without --host it is reached from this machine only."
        f"\n{line}"
    )
