"""Which process holds a lease, told so that its death is seen at once from the same machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Holder(msgspec.Struct, frozen=True):
    """A process.

    Attributes:
        host: Name of its host, for people.
        machine: The same for all processes that see each other's ids: host, boot and namespace of process ids.
            "" where the system does not say.
        pid: Its id.
        started: When it started, in clock ticks since the boot: an id that was given again is another process.
    """

    host: str
    machine: str
    pid: Annotated[int, Meta(ge=1)]
    started: int

    def __str__(self) -> str:
        """Name the process."""
        return f"process {self.pid} on {self.host}"


def this_process() -> Holder:
    """The calling process."""
    host = socket.gethostname()
    try:
        # Pods of one node share the boot, with hostNetwork the name too, but never the namespace of process ids.
        namespace = Path("/proc/self/ns/pid").readlink()
        return Holder(host, f"{host} {_BOOT_ID.read_text().strip()} {namespace}", os.getpid(), _stat(os.getpid())[1])
    except OSError:
        return Holder(host, "", os.getpid(), 0)


def is_gone(holder: Holder) -> bool:
    """Whether a process has certainly ended; of one on another machine nobody can say that."""
    machine = this_process().machine
    if not machine or holder.machine != machine:
        return False
    try:
        os.kill(holder.pid, 0)
        state, started = _stat(holder.pid)
    except (ProcessLookupError, FileNotFoundError):
        return True
    except PermissionError:
        return False
    return started != holder.started or state in "ZX"  # killed, but not yet waited for


def _stat(pid: int) -> tuple[str, int]:
    """State and start time of a process, fields 3 and 22 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
