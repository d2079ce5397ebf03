"""Confine the present process for good: limits always, and what the system has of Landlock, namespaces and seccomp.

| what | limit, namespaces | Landlock | seccomp |
| --- | --- | --- | --- |
| processor, memory, open files, size of files, core dumps | setrlimit | | |
| network | an empty network namespace | | no socket can be made |
| files | a temporary folder in memory, 16 MB | reads the standard library only, changes that folder only | |
| processes, programs, signals, tracing | | no signals outwards | refused |
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from thinkling.tasks.confined import seccomp

_MB = 2**20
_FOLDER_MB = 16
_OPEN_FILES = 64
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3
"""Execute (which mapping a library is not, but older kernels ask for it), read a file, list a folder."""
_FILE_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of rights on files by version of Landlock; 16 from version 5 on."""
_SPECIAL_FILES = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, pipes and links are made nowhere."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What is in force."""

    folder_in_memory: bool
    """Whether the temporary folder is one of this process alone, in memory."""
    files: bool
    """Whether the kernel keeps files outside from being read and changed."""
    calls: bool
    """Whether the kernel refuses the system calls that are not needed."""


def confine(
    folder: str, *, memory_mb: int, seconds: float | None, caller: int | None, readable: Sequence[str] = ()
) -> Confinement:
    """Confine this process. It must have one thread.

    Args:
        folder: an empty folder, the only one where files may be made; it becomes the working folder.
        memory_mb: memory beyond what the process has by now.
        seconds: processor time; None: as much as it takes.
        caller: number of the process that started this one, which ends with the thread that did; None: it goes on.
        readable: folders to read from besides the standard library.
    """
    in_memory = _namespaces(folder)
    if caller is not None:
        _end_with(caller)
    os.chdir(folder)
    _limits(seconds, memory_mb, _FOLDER_MB * _MB if in_memory else 0)
    granted = seccomp.no_new_privileges()
    files = granted and _landlock(folder, readable, changes=in_memory)
    calls = granted and seccomp.install(file_changes=files and in_memory)
    if not calls:
        # Neither processes nor threads; it holds for everybody but root.
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return Confinement(folder_in_memory=in_memory, files=files, calls=calls)


def _limits(seconds: float | None, memory_mb: int, file_bytes: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_AS: _mapped() + memory_mb * _MB,
    }
    if seconds is not None:
        limits[resource.RLIMIT_CPU] = int(seconds) + 2
    for which, value in limits.items():
        with suppress(OSError, ValueError):  # a lower one is in force
            resource.setrlimit(which, (value, value))


def _mapped() -> int:
    """Bytes of address space in use."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 64 * _MB


def _namespaces(folder: str) -> bool:
    """No network and a folder in memory, where the system lets us. Whether the folder is in memory."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USER | _NEW_MOUNTS | _NEW_NETWORK | _NEW_IPC) != 0:
        return False
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError:
        return False
    if libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return False
    options = f"size={_FOLDER_MB}m,nr_inodes=1024,mode=700".encode()
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    return bool(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options) == 0)


def _end_with(caller: int) -> None:
    """Be killed when the caller ends, however it does. Namespaces forget it, so they come first."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != caller:
            os._exit(1)


def _landlock(folder: str, readable: Sequence[str], *, changes: bool) -> bool:
    """Keep to the standard library and the folder (landlock(7)). Whether it worked."""
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    every = (1 << _RIGHTS.get(version, 16)) - 1
    # Rights on files, on TCP (none are given), and no signals and no abstract sockets outwards.
    rules = struct.pack("QQQ", every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = call(_CREATE_RULESET, rules, ctypes.c_size_t(size), 0)
    if handle < 0:
        return False
    try:
        paths = dict.fromkeys((*_standard_library(), *readable), _READ)
        paths |= dict.fromkeys(("/dev/null", "/dev/zero", "/dev/urandom"), _READ | 1 << 1)
        # On a disk that is not its own a process changes nothing: nobody could say how much.
        paths[folder] = every & ~_SPECIAL_FILES & ~1 if changes else _READ
        for path, rights in paths.items():
            _allow(call, handle, path, rights & every)
        return bool(call(_RESTRICT_SELF, handle, 0) == 0)
    finally:
        os.close(handle)


def _allow(call: ctypes._NamedFuncPointer, handle: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE_ONLY
        call(_ADD_RULE, handle, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _standard_library() -> list[str]:
    """Where Python's own modules are, and the system's libraries that they need."""
    own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    library = sysconfig.get_config_var("LIBDIR") or ""
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"]
    return [path for path in (*own, library, *shared) if path and os.path.exists(path)]


def kept_inside(folder: str) -> Callable[[str, Any], None]:
    """A hook for `sys.addaudithook` that refuses files outside, for systems whose kernel does not.

    It holds for what Python itself opens and changes, and is no wall against a program that sets out to climb it.
    """
    inside = os.path.realpath(folder)
    readable = tuple(os.path.realpath(path) for path in (folder, *_standard_library(), os.devnull))
    reading = {"os.listdir", "os.scandir", "os.chdir"}
    changing = {
        "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
        "os.truncate", "os.utime", "shutil.rmtree",
    }  # fmt: skip

    def hook(event: str, arguments: Any) -> None:
        if event == "open":
            paths, changes = (
                arguments[:1],
                bool(int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)),
            )
        elif event in reading or event in changing:
            paths, changes = arguments[:2], event in changing
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes)):
                real = os.path.realpath(os.fsdecode(path))
                allowed = (inside,) if changes else readable
                if not any(real == each or real.startswith(each + os.sep) for each in allowed):
                    raise PermissionError(f"{event} is not available outside the temporary folder")

    return hook
