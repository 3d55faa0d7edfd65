"""Where the wall time of a run went, over all its attempts, and what part of it trained the model.

The ratio of effective training time (ETTR) is that of Kokolis et al., "Revisiting Reliability in Large-Scale Machine
Learning Research Clusters" (arXiv 2410.21680): productive time over wall time. Productive are the steps whose result is
in the model; a step that a later attempt had to repeat is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from rfdetr_train.training.stopwatch import Progress

_LABELS = {
    "steps": "optimizer steps",
    "validation": "validation",
    "checkpoint_stall": "steps held by a checkpoint",
    "staging": "staging the images",
    "start_up": "start-up, up to the first batch",
    "upload_wait": "waiting for the last upload",
    "other": "other",
}


class Attempt(msgspec.Struct, frozen=True):
    """One attempt of a run: a process of the launcher.

    Attributes:
        number: Generation of the lease that it held, from 1 on.
        gpus: GPUs that it held; 0 on a CPU.
        wall: Seconds from its start to its end, or to the moment of this record.
        seconds: Seconds by what they went into; the keys are those of the report.
        first_step: Optimizer step at which it began.
        last_step: Optimizer step that it reached.
        repeated_steps: Steps that it repeated because an earlier attempt was lost after its last commit.
        exit_code: How it ended; None while it runs, and for one that was killed.
    """

    number: int
    gpus: int
    wall: float
    seconds: dict[str, float]
    first_step: int = 0
    last_step: int = 0
    repeated_steps: int = 0
    exit_code: int | None = None

    @property
    def repeated_seconds(self) -> float:
        """Seconds of the steps that were repeated, at this attempt's mean rate."""
        done = self.last_step - self.first_step
        return self.seconds.get("steps", 0.0) * min(self.repeated_steps / done, 1.0) if done else 0.0


class Goodput(msgspec.Struct, frozen=True):
    """The sum over the attempts of a run.

    Attributes:
        attempts: In their order.
        wall: Seconds in all.
        seconds: Seconds by what they went into.
        productive: Seconds of optimizer steps that no later attempt repeated.
        ratio: productive / wall; 0 when there is none.
        repeated_steps: Steps done twice.
        gpu_hours: Hours in which GPUs were held, times their number.
        cost: gpu_hours times the price; 0 without a price.
    """

    attempts: list[Attempt]
    wall: float
    seconds: dict[str, float]
    productive: float
    ratio: float
    repeated_steps: int
    gpu_hours: float
    cost: float


def measure(
    *, number: int, gpus: int, begun: float, now: float, staging: float, upload_wait: float, progress: Progress,
    reached_before: int, exit_code: int | None = None,
) -> Attempt:  # fmt: skip
    """Describe an attempt from what launcher and rank 0 measured.

    Args:
        number: Of the attempt.
        gpus: GPUs that it holds.
        begun: ``time.monotonic`` at its start.
        now: ``time.monotonic`` now.
        staging: Seconds of staging.
        upload_wait: Seconds of the final flush.
        progress: Rank 0's last word.
        reached_before: The optimizer step that the attempt before had reached when it was lost.
        exit_code: How it ended.
    """
    wall = now - begun
    # Lightning validates, saves and steps after the first batch; what came before it, less the staging, is start-up.
    start_up = (progress.started or now - upload_wait) - begun - staging
    seconds = {**progress.seconds, "staging": staging, "start_up": max(start_up, 0.0), "upload_wait": upload_wait}
    seconds["other"] = max(wall - sum(seconds.values()), 0.0)
    return Attempt(
        number=number,
        gpus=gpus,
        wall=wall,
        seconds=seconds,
        first_step=progress.first_step,
        last_step=progress.step,
        repeated_steps=max(min(reached_before, progress.step) - progress.first_step, 0),
        exit_code=exit_code,
    )


def add_up(attempts: Sequence[Attempt], gpu_hour_price: float) -> Goodput:
    """Add the attempts of a run up.

    Args:
        attempts: In their order.
        gpu_hour_price: Price of a GPU hour; 0 for none.
    """
    wall = sum(attempt.wall for attempt in attempts)
    seconds = {key: sum(attempt.seconds.get(key, 0.0) for attempt in attempts) for key in _LABELS}
    productive = seconds["steps"] - sum(attempt.repeated_seconds for attempt in attempts)
    gpu_hours = sum(attempt.wall * attempt.gpus for attempt in attempts) / 3600
    return Goodput(
        attempts=list(attempts),
        wall=wall,
        seconds=seconds,
        productive=productive,
        ratio=productive / wall if wall else 0.0,
        repeated_steps=sum(attempt.repeated_steps for attempt in attempts),
        gpu_hours=gpu_hours,
        cost=gpu_hours * gpu_hour_price,
    )


def to_markdown(goodput: Goodput) -> str:
    """Show where the time went, for people."""
    rows = [
        f"| {label} | {_time(goodput.seconds[key])} | {goodput.seconds[key] / (goodput.wall or 1):.1%} |"
        for key, label in _LABELS.items()
    ]
    cost = f", cost {goodput.cost:.2f}" if goodput.cost else ""
    return "\n".join(
        [
            "# Goodput",
            "",
            f"{goodput.ratio:.1%} of {_time(goodput.wall)} went into optimizer steps that count, in "
            f"{len(goodput.attempts)} attempt(s); {goodput.repeated_steps} step(s) were repeated after a failure. "
            f"GPU hours: {goodput.gpu_hours:.2f}{cost}.",
            "",
            "| what | time | share |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
