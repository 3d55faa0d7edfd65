"""Which samples are in the model after a training that was killed and continued."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainings.recorder import read


@dataclass
class Seen:
    """What was counted.

    Attributes:
        samples: Compared.
        repeated: Samples that went into the model more often than into that of the uninterrupted training.
        skipped: Samples that did not go into it.
        lost_steps: Optimizer steps that were done again, for the process was killed before a commit had them.
        problems: In words.
    """

    samples: int = 0
    repeated: int = 0
    skipped: int = 0
    lost_steps: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Seen) -> Seen:
        """Add two up."""
        names = ("samples", "repeated", "skipped", "lost_steps")
        total = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Seen(**total, problems=[*self.problems, *other.problems])


def check_samples(records: Path, attempts: int, reference: Path, world: int) -> Seen:
    """Compare the samples of a training with those of an uninterrupted one, batch by batch.

    Args:
        records: Of the recorders.
        attempts: Their number.
        reference: The records of the uninterrupted training.
        world: Ranks.
    """
    seen = Seen()
    for rank in range(world):
        expected = _batches(read(reference, "001", rank))
        found, lost = _in_the_model([read(records, f"{number + 1:03d}", rank) for number in range(attempts)])
        keys, wanted = _keys(found), _keys(expected)
        seen.samples += len(wanted)
        seen.repeated += (keys - wanted).total()
        seen.skipped += (wanted - keys).total()
        seen.lost_steps = max(seen.lost_steps, lost)
        if found != expected:
            seen.problems.append(f"the batches of rank {rank} are not those of the uninterrupted training")
    return seen


def _in_the_model(attempts: list[list[dict[str, Any]]]) -> tuple[list[tuple], int]:
    """The batches whose steps no later attempt went back behind, in the order in which they came; and lost steps."""
    kept: list[tuple] = []
    lost = 0
    for events in attempts:
        if not events:
            continue
        start = events[0]["step"]
        steps = {batch[0] for batch in kept}
        kept = [batch for batch in kept if batch[0] <= start]
        lost += len(steps) - len({batch[0] for batch in kept})
        kept += _batches(events)
    return kept, lost


def _batches(events: list[dict[str, Any]]) -> list[tuple]:
    return [(e["step"], e["epoch"], e["batch"], tuple(e["samples"])) for e in events if e["kind"] == "batch"]


def _keys(batches: list[tuple]) -> Counter[tuple[int, int]]:
    return Counter((batch[1], key) for batch in batches for key in batch[3])
