"""What the person who starts the server decides."""

from __future__ import annotations

from dataclasses import dataclass

from thinkling.errors import InputError

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names under which a machine reaches itself."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Limits and defaults of a server."""

    model_name: str = "thinkling"
    """The name by which clients ask for the model."""
    slots: int = 64
    """Chains of thought in work at once (puzzles; of each thread that thinks), or sequences generated at once (texts);
    further ones wait."""
    thinkers: int = 0
    """Threads that think about puzzles, each with slots of its own and its share of the cores; 0: two on a processor
    with two cores or more, else one."""
    max_waiting: int = 256
    """Sequences that may wait for a slot; beyond, a client is told to come back (503)."""
    max_waiting_puzzles: int = 4096
    """The same for puzzles, which take milliseconds instead of seconds, and for texts with masks."""
    max_body_bytes: int = 1 << 20
    """Longest body of a request, in bytes."""
    max_choices: int = 16
    """Most answers to one request (`n`)."""
    max_tokens: int = 0
    """Most tokens of an answer, also where a request asks for more; 0: as many as the context has room for."""
    max_puzzles: int = 256
    """Most puzzles of one request."""
    max_traced: int = 8192
    """Most segments (puzzles times chains times their limit) of one request that asks for what the model thought: each
    stays in memory until the puzzle has ended."""
    max_steps: int = 1024
    """Most segments a chain may be asked to think."""
    max_samples: int = 64
    """Most chains a puzzle may be asked for; never more than there are slots."""
    max_budget: int = 20_000
    """Most segments that a search for one puzzle may be allowed."""
    max_segments: int = 200_000
    """Most segments that one request may cost: its puzzles times their chains times their limit, or times the budget
    of their searches."""
    max_top_k: int = 100
    """Most candidates for a mask."""
    temperature: float = 0.0
    """Where a request names none; 0: always the likeliest token."""
    think_budget: int | None = None
    """Most tokens of reasoning, where a request names no budget; None: no limit."""
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    """What a request may call this server by (its Host header); empty: anything.

    A browser that was tricked into taking another name for this machine (DNS rebinding) is turned away.
    """

    @property
    def most_chains(self) -> int:
        """Most chains a puzzle may be asked for: all of them think at once."""
        return min(self.max_samples, self.slots)

    def __post_init__(self) -> None:
        """Refuses settings that cannot work.

        Raises:
            InputError: naming the first one out of its range.
        """
        for name, least in (
            ("slots", 1),
            ("thinkers", 0),
            ("max_waiting", 0),
            ("max_waiting_puzzles", 0),
            ("max_body_bytes", 1),
            ("max_choices", 1),
            ("max_tokens", 0),
            ("max_puzzles", 1),
            ("max_traced", 0),
            ("max_steps", 1),
            ("max_samples", 1),
            ("max_budget", 1),
            ("max_segments", 1),
            ("max_top_k", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}", f"{least} or more", f"set another {name}")
        if not 0 <= self.temperature <= 2:
            raise InputError(f"temperature {self.temperature}", "0 to 2", "set another temperature")
        if self.think_budget is not None and self.think_budget < 0:
            raise InputError(f"think_budget {self.think_budget}", "0 or more", "set another think_budget")
        if not self.model_name.strip():
            raise InputError("an empty model_name", "a name", "name the model")
