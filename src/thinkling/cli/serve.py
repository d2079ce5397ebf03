"""`thinkling serve RUN`: answer over HTTP as OpenAI's interface does, on this machine only unless told otherwise."""

from __future__ import annotations

import importlib
import ipaddress
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import write_json
from thinkling.errors import InputError
from thinkling.serving.settings import LOOPBACK_HOSTS, ServerSettings

_SECONDS_TO_FINISH = 3
"""After Ctrl+C, for answers that are being made."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Serve a language model: /v1/chat/completions, /v1/models and /health, for any client of OpenAI's interface."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder of a model that was trained on conversations, or hf://OWNER/NAME."""
    host: str = "127.0.0.1"
    """Address to listen at. 127.0.0.1 is reached from this machine only, 0.0.0.0 from the whole network."""
    port: int = 8000
    """Port to listen at (0: any that is free)."""
    name: str = ""
    """What clients call the model (empty: the name of its folder)."""
    slots: int = 64
    """Answers generated at once; further ones wait."""
    max_waiting: int = 256
    """Answers that may wait for a slot."""
    max_tokens: int = 0
    """Most tokens of an answer (0: as many as the context has room for)."""
    temperature: float = 0.0
    """Where a request names none; 0: always the likeliest token."""
    think_budget: int | None = None
    """Most tokens of reasoning, where a request names no budget."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> int:
    """Serve until told to stop."""
    uvicorn = _uvicorn()
    only_here = is_loopback(arguments.host)
    settings = ServerSettings(
        model_name=arguments.name or Path(arguments.run_folder).resolve().name,
        slots=arguments.slots,
        max_waiting=arguments.max_waiting,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        think_budget=arguments.think_budget,
        allowed_hosts=(*LOOPBACK_HOSTS, arguments.host) if only_here else (),
    )
    # Before the model is loaded: a port that is taken is known at once.
    with listening(arguments.host, arguments.port) as listener:
        app, params = _app(arguments, settings)
        url = address(listener)
        if not only_here:
            print(_everybody(arguments.host), file=sys.stderr)
        if arguments.json:
            write_json({"url": url, "model": settings.model_name, "params": params})
        else:
            print(f"{settings.model_name} ({params:,} parameters) at {url} – Ctrl+C stops it", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
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
    from thinkling.lm.language_model import LanguageModel
    from thinkling.serving.app import create_app

    model = LanguageModel.from_folder(
        arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype
    )
    return create_app(model, settings), model.params


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
