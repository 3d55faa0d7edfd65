"""SIGTERM in a rank: end at once while there is nothing to save, later save at the next step boundary first.

Lightning's own handler broadcasts inside the signal handler, while the collectives of a step are under way: two ranks
hang until they are killed (Lightning 2.6.6). It is replaced as soon as Lightning has installed it.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING

from rfdetr_train.errors import Preempted

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class StopSignal:
    """Whether this process was told to stop."""

    def __init__(self) -> None:
        """Begin in the start-up, in which a signal ends the process at once."""
        self.requested = False
        self._defer = False
        self.install()

    def install(self) -> None:
        """Become the handler of SIGTERM."""
        signal.signal(signal.SIGTERM, self._handle)

    def defer(self, trainer: Trainer) -> None:
        """From now on a signal only leaves a note, which is read at the next step boundary."""
        self._defer = True
        self.install()
        # Asks all ranks at every batch, and on a GPU waits for it each time; the agreement of ours has that part.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def _handle(self, number: int, _: FrameType | None) -> None:
        first = not self.requested
        self.requested = True
        if first and not self._defer:
            raise Preempted("the training was stopped while it started")
