"""How much longer a training takes with commits at the default interval than without any.

    .venv/bin/python benchmarks/checkpoint_overhead.py [REPEATS] [STEPS]      (5 repeats take about eight minutes)

The default interval is 300 s, too long to compare whole trainings with and without. So one real training of the nano
model (random weights, a state of about 480 MB) commits every 2 x STEPS steps and publishes to an S3 server on this
machine. STEPS steps after a commit, in which it is written, hashed and uploaded beside the training, take turns with
STEPS steps without one. What a block with a commit takes longer than the one after it is what the commit costs: its
stall and the slower steps together. That, divided by the default interval, is the overhead. STEPS must be enough for a
commit to be published within its block: the longest publication is shown beside the length of a block. All of it
shares the cores of this machine, S3 server included. Goal: at most 2 %.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path

from trainings.real_state import train, use_s3
from trainings.setting import print_machine

GOAL = 2.0  # per cent


def blocks(times: dict[int, float], steps: int) -> tuple[list[float], list[float]]:
    """Seconds of the blocks with and without a commit, the first pair, which makes the buffers, left out.

    Args:
        times: When each optimizer step had ended, before its commit.
        steps: Of a block.
    """
    begins = range(4 * steps, max(times) - 2 * steps + 1, 2 * steps)
    with_commit = [times[begin + steps] - times[begin] for begin in begins]
    return with_commit, [times[begin + 2 * steps] - times[begin + steps] for begin in begins]


def main() -> None:
    """Train and print the rows."""
    from rfdetr_train.params import default_of

    repeats, steps = (int(value) for value in (*sys.argv[1:3], *("5", "60")[len(sys.argv) - 1 :]))
    print_machine()
    use_s3()
    with tempfile.TemporaryDirectory() as scratch:
        events = train(Path(scratch), interval=2 * steps, commits=repeats + 1, way="nano", env={})
        log = (Path(scratch) / "log").read_text()
    published = [float(found) for found in re.findall(r"The checkpoint of step .* MB in ([\d.]+) s", log)]
    with_commit, without = blocks({e["step"]: e["time"] for e in events if e["kind"] == "batch"}, steps)
    lost = statistics.median(a - b for a, b in zip(with_commit, without, strict=True))
    block, interval = statistics.median(without), float(default_of("checkpoint_every_seconds"))
    print(f"measured: seconds lost per commit, {len(without)} pairs of blocks of {steps} steps in turn, medians;")
    print(f"the longest publication took {max(published):.1f} s. Computed: the overhead at the default interval")
    print(f"{'':34}{'baseline s':>12}{'ours s':>10}{'lost s':>10}")
    print(f"{'block without and with a commit':34}{block:12.2f}{statistics.median(with_commit):10.2f}{lost:10.2f}")
    print(f"each: {', '.join(f'{a - b:.2f}' for a, b in zip(with_commit, without, strict=True))} s")
    if max(published) > block:
        print("STEPS is too small: a publication reached into the block that is compared")
    overhead = 100 * lost / interval
    print(f"overhead with a commit every {interval:.0f} s: {overhead:.2f} % (goal {GOAL:g} %)")
    print(f"shortest interval that keeps to the goal: {100 * lost / GOAL:.0f} s")


if __name__ == "__main__":
    main()
