"""Let a process die with the one that started it, and of nothing else that is meant for its parent.

A launcher that is killed leaves its ranks training: nobody publishes what they do, and the next attempt on the same
disk would find them writing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_group() -> None:
    """Leave the process group of the parent, and die with it all the same.

    torchrun sends SIGTERM to the group of a rank, so to its data loading processes too. torch lets them die of it, and
    their death ends the rank before it has saved.
    """
    os.setpgid(0, 0)
    die_with_parent()
