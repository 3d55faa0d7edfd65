"""How long a training stands still for a durable checkpoint: ours against ``torch.save`` and an upload in line.

    .venv/bin/python benchmarks/checkpoint_stall.py [REPEATS] [STEPS]         (5 repeats take about six minutes)

One real training of the nano model (random weights, 30 M parameters; with EMA and Adam's moments about 480 MB) under
torchrun, on images so small that the CPU keeps up. Its rank commits every STEPS steps, which the launcher publishes to
an S3 server on this machine: counted is all time that the training thread gives to it. Half-way between two commits,
and not before the last one is published, the same process saves the same state with ``torch.save`` and uploads it with
``boto3.upload_file``, both with their defaults. Shown are medians; the first pair, which makes the buffers, is left
out.
Goal: at most 10 % of the way in line.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from trainings.inline import BUCKET, INTERVAL
from trainings.real_state import BUCKET as NAME
from trainings.real_state import train, use_s3
from trainings.setting import print_machine

GOAL = 10.0  # per cent
LEAST_MB = 200


def main() -> None:
    """Train and print the rows."""
    repeats, interval = (int(value) for value in (*sys.argv[1:3], *("5", "40")[len(sys.argv) - 1 :]))
    print_machine()
    use_s3()
    env = {INTERVAL: str(interval), BUCKET: NAME}
    with tempfile.TemporaryDirectory() as scratch:
        events = train(Path(scratch), interval=interval, commits=repeats + 1, way="nano_beside_inline", env=env)
    ours = [event["seconds"] for event in events if event["kind"] == "ours"][1:]
    inline = [event for event in events if event["kind"] == "inline"][2:]
    size = inline[0]["bytes"] / 1e6
    save, upload = (statistics.median(event[part] for event in inline) for part in ("save", "upload"))
    whole = statistics.median(event["save"] + event["upload"] for event in inline)
    stall = statistics.median(ours)
    print(f"state: {size:.0f} MB (at least {LEAST_MB} wanted), S3: moto; medians of {len(ours)} and {len(inline)}")
    waited = statistics.median(event["waited"] for event in events if event["kind"] == "ours")
    print(f"after {interval // 2} steps beside the training, publishing ours took another {waited:.1f} s")
    print(f"ours, each: {', '.join(f'{seconds:.3f}' for seconds in ours)} s")
    print(f"{'stall per checkpoint':34}{'baseline s':>12}{'ours s':>10}{'ours is':>10}{'goal':>8}")
    print(f"{'torch.save + boto3.upload_file':34}{whole:12.2f}{stall:10.3f}{100 * stall / whole:9.1f}%{GOAL:7.0f}%")
    print(f"{'  torch.save alone':34}{save:12.2f}{stall:10.3f}{100 * stall / save:9.1f}%")
    print(f"{'  boto3.upload_file alone':34}{upload:12.2f}")


if __name__ == "__main__":
    main()
