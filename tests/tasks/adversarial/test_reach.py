"""Programs that try to read and to reach what is outside."""

from __future__ import annotations

import socket
from typing import Any

import pytest

READS = {
    "passwords": "open('/etc/passwd').read()",
    "passwords by descriptor": "import os\nos.read(os.open('/etc/passwd', os.O_RDONLY), 10)",
    "passwords by the database": "import pwd\npwd.getpwnam('daemon')",
    "a list of /": "import os\nos.listdir('/')",
    "the neighbour": "open('../kept.txt').read()",
    "a home": "import os\nos.listdir('/root')",
    "processes": "import os\nos.listdir('/proc')",
    "the environment": "import os\nos.environ['THINKLING_SECRET']",
    "the caller's environment": "import os\nopen(f'/proc/{os.getppid()}/environ').read()",
    "installed packages": "import numpy",
    "Thinkling": "import thinkling.tasks.sandbox",
    "a socket": "import socket\nsocket.socket()",
    "a local socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0x')",
    "a name": "import socket\nsocket.getaddrinfo('example.org', 80)[0]",
    "a page": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "ptrace": "import ctypes, os\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0",
}


@pytest.mark.parametrize("name", READS)
def test_what_is_outside_cannot_be_reached(run: Any, name: str) -> None:
    """Each raises where it is not let: it must not come to its end."""
    verdict = run(READS[name], "")
    assert not verdict.passed
    assert "raised" in verdict.reason


def test_nothing_arrives_at_a_server(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.2)
        assert not run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}))", "").passed
        with pytest.raises(TimeoutError):
            server.accept()
