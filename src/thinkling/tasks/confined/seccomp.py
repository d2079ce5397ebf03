"""The system calls that a confined process may make; the kernel refuses all others (seccomp, a filter in BPF).

What is not in the table fails with EPERM: processes, programs, signals to others, sockets that reach anybody, tracing,
mounting, changing owners or limits. New calls of later kernels are refused too.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

CALLS: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "stat": (4, -1), "lstat": (6, -1), "poll": (7, -1), "access": (21, -1), "select": (23, -1),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    "pipe": (22, -1), "pipe2": (293, 59), "sched_yield": (24, 124), "dup": (32, 23), "dup2": (33, -1),
    "dup3": (292, 24), "nanosleep": (35, 101), "getitimer": (36, 102), "alarm": (37, -1), "setitimer": (38, 103),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "socketpair": (53, 199),
    "recvfrom": (45, 207), "shutdown": (48, 210), "exit": (60, 93), "exit_group": (231, 94), "uname": (63, 160),
    "flock": (73, 32), "fsync": (74, 82), "fdatasync": (75, 83), "getdents": (78, -1),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "readlink": (89, -1),
    "readlinkat": (267, 78), "umask": (95, 166), "gettimeofday": (96, 169), "getrlimit": (97, 163),
    "getrusage": (98, 165), "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174),
    "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177), "sigaltstack": (131, 132),
    "arch_prctl": (158, -1), "time": (201, -1), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "set_tid_address": (218, 96), "fadvise64": (221, 223), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "epoll_create": (213, -1),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, -1), "epoll_pwait": (281, 22),
    "newfstatat": (262, 79), "faccessat": (269, 48), "faccessat2": (439, 439), "pselect6": (270, 72),
    "ppoll": (271, 73), "set_robust_list": (273, 99), "eventfd2": (290, 19), "getrandom": (318, 278),
    "membarrier": (324, 283), "statx": (332, 291), "rseq": (334, 293),
}  # fmt: skip
"""Numbers on x86-64 and on arm64; -1: this machine does not have the call."""

FILE_CHANGES: dict[str, tuple[int, int]] = {
    "creat": (85, -1), "mkdir": (83, -1), "mkdirat": (258, 34), "rmdir": (84, -1), "unlink": (87, -1),
    "unlinkat": (263, 35), "rename": (82, -1), "renameat": (264, 38), "renameat2": (316, 276),
    "truncate": (76, 45), "ftruncate": (77, 46),
}  # fmt: skip
"""Allowed only where the kernel keeps them to the temporary folder (Landlock)."""

_OPEN, _OPENAT = (2, -1), (257, 56)
_CLONE, _CLONE3, _PRLIMIT, _SENDTO = (56, 220), (435, 435), (302, 261), (44, 206)
_FCNTL, _IOCTL = (72, 25), (16, 29)
_FCNTL_ALLOWED = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
"""Duplicating, flags and locks; not F_SETOWN and F_SETSIG, which let the kernel send signals to others."""
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS (is it a terminal?), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_MACHINES = {
    "x86_64": (0, 0xC000003E),
    "AMD64": (0, 0xC000003E),
    "aarch64": (1, 0xC00000B7),
    "arm64": (1, 0xC00000B7),
}
"""Column of the tables, and the kernel's word for the architecture (AUDIT_ARCH)."""

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD = 0x00010000
_WRITES = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2


def assembled(machine: str, *, file_changes: bool) -> bytes:
    """The filter for a machine.

    Args:
        machine: as `platform.machine` says.
        file_changes: whether files may be made and changed.

    Raises:
        KeyError: the machine's numbers are not known.
    """
    column, architecture = _MACHINES[machine]
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        # Numbers of the x32 interface, which would go round the table.
        (_AT_LEAST, 0, 1, 0x40000000),
        (_RETURN, 0, 0, _KILL),
    ]

    def when(call: tuple[int, int], *then: tuple[int, int, int, int]) -> None:
        """If the number is this one, go on here; `then` must return."""
        if call[column] >= 0:
            program.append((_EQUAL, 0, len(then), call[column]))
            program.extend(then)

    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    tables = {**CALLS, **FILE_CHANGES} if file_changes else CALLS
    for call in tables.values():
        when(call, allow)
    # Threads, and no processes. glibc takes `clone` where there is no `clone3`, whose flags a filter cannot see.
    when(_CLONE, _argument(0), (_ANY_BIT, 0, 1, _CLONE_THREAD), allow, refuse)
    when(_CLONE3, (_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    # Limits may be asked for and not set; what is sent goes to the other end of a pair and to no address.
    for call, argument in ((_PRLIMIT, 2), (_SENDTO, 4)):
        low, high = _argument(argument), _argument(argument, high=True)
        when(call, low, (_EQUAL, 0, 3, 0), high, (_EQUAL, 0, 1, 0), allow, refuse)
    for call, values in ((_FCNTL, _FCNTL_ALLOWED), (_IOCTL, _IOCTL_ALLOWED)):
        left = range(len(values), 0, -1)
        choices = [(_EQUAL, rest, 0, value) for rest, value in zip(left, values, strict=True)]
        when(call, _argument(1), *choices, refuse, allow)
    for call, argument in ((_OPEN, 1), (_OPENAT, 2)):
        if file_changes:
            when(call, allow)
        else:
            when(call, _argument(argument), (_ANY_BIT, 1, 0, _WRITES), allow, refuse)
    program.append(refuse)
    return b"".join(struct.pack("HBBI", *line) for line in program)


def _argument(number: int, *, high: bool = False) -> tuple[int, int, int, int]:
    """Load half of an argument of the call (both machines are little-endian)."""
    return (_LOAD, 0, 0, 16 + 8 * number + 4 * high)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))


def no_new_privileges() -> bool:
    """Never gain rights by starting a program; the kernel asks for it before a filter. Whether it worked."""
    return bool(sys.platform == "linux") and ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def install(*, file_changes: bool) -> bool:
    """Put the filter in force for this process for good. Whether it worked."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return False
    lines = assembled(platform.machine(), file_changes=file_changes)
    buffer = ctypes.create_string_buffer(lines, len(lines))
    program = _Program(len(lines) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0) == 0)
