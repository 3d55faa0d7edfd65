"""What the ranks decide together, so that all of them do it at the same step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import distributed


class Votes(NamedTuple):
    """What a rank wants done now; a single vote decides for all.

    Attributes:
        stop: It was told to stop.
        commit: A commit is due.
        diverged: Its loss is not finite any more.
        failed: It cannot go on.
    """

    stop: bool = False
    commit: bool = False
    diverged: bool = False
    failed: bool = False


class Agreement:
    """Votes and small objects over a gloo group: on the CPU, so that asking does not wait for the GPU."""

    def __init__(self) -> None:
        """Make the group; every rank must do so at the same point. Alone, there is nothing to agree on."""
        self._group = None
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            self._group = distributed.new_group(backend="gloo")

    def any(self, mine: Votes) -> Votes:
        """Give the votes of all ranks together."""
        if self._group is None:
            return mine
        votes = torch.tensor(mine, dtype=torch.uint8)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX, group=self._group)
        return Votes(*(bool(vote) for vote in votes.tolist()))

    def gather(self, mine: Any) -> list[Any]:
        """Give the values of all ranks in the order of the ranks."""
        if self._group is None:
            return [mine]
        gathered: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(gathered, mine, group=self._group)
        return gathered
