"""Seconds until a dataset of COCO's size is named, and until the command answers at all.

    .venv/bin/python benchmarks/datasets/detection.py [--scale 20k|118k] [--data FOLDER] [--repeats N]

``detect`` names the format of a folder, its splits and classes, and checks a sample, as COCO and as YOLO: the first
call of a process, and the median of those after it. Beside it stand the two peers that can name a format, with what
they answer. The second table is whole processes, medians of interleaved repeats: an import and the help of the command
line. The folder was read before (its listing is in the memory of the system).
Goals: detection at most 0.3 s, import and help at most 0.25 s.
"""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
from pathlib import Path

from generator import SCALES, make
from measure import Usage, interleave, measure
from peers import OURS, python_of, version_of
from setting import arguments, print_machine

GOAL, GOAL_START = 0.3, 0.25  # seconds
CALLS = 6
# What runs in the child. argv: the dataset. The first call warms what a process has of its own.
FRAME = """
import json, sys, time
from pathlib import Path
{setup}
def call():
    begun, cpu = time.perf_counter(), time.process_time()
    answer = {call}
    return time.perf_counter() - begun, time.process_time() - cpu, str(answer)[:40]
print(json.dumps([call() for _ in range({calls})]))
"""
WAYS = {
    "rfdetr": ("from rfdetr.datasets import detect_roboflow_format", "detect_roboflow_format(Path(sys.argv[1]))"),
    "datumaro": (
        "from datumaro.components.environment import Environment\nenvironment = Environment()",
        "environment.detect_dataset(sys.argv[1])",
    ),
    OURS: (
        "from rfdetr_train.datasets import detect",
        "(lambda found: (found.format, found.layout))(detect(sys.argv[1]))",
    ),
}
COMMAND = Path(sys.executable).parent / "rfdetr-train"
STARTS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import rfdetr_train": [sys.executable, "-c", "import rfdetr_train"],
    "rfdetr-train --help": [str(COMMAND), "--help"],
}


def time_calls(package: str, dataset: Path) -> list[tuple[float, float, str]] | str:
    """Time the calls of one process: seconds, CPU seconds and the answer of each; or say why there are none."""
    if not version_of(package):
        return "not installed (make bench-peers)"
    setup, call = WAYS[package]
    code = FRAME.format(setup=setup, call=call, calls=CALLS)
    command = [str(python_of(package)), "-W", "ignore", "-c", code, str(dataset)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or [''])[-1][:100]}"
    calls: list[tuple[float, float, str]] = json.loads(done.stdout.splitlines()[-1])
    return calls


def print_detection(format_name: str, dataset: Path) -> None:
    """Print a row for each way to name a format."""
    for package in WAYS:
        calls = time_calls(package, dataset)
        label = f"{format_name:6}{package:18}{version_of(package):>10}"
        if isinstance(calls, str):
            print(f"{label}  {calls}")
            continue
        wall, cpu = statistics.median(call[0] for call in calls[1:]), statistics.median(call[1] for call in calls[1:])
        verdict = f"{GOAL:g} s {'met' if wall <= GOAL else 'MISSED'}" if package == OURS else ""
        print(f"{label}{calls[0][0]:9.3f}{wall:9.3f}{cpu:9.3f}  {calls[0][2]:40}  {verdict}", flush=True)


def print_starts(repeats: int) -> None:
    """Print a row for each command."""
    found = interleave({who: functools.partial(measure, command) for who, command in STARTS.items()}, repeats)
    print(f"{'':34}{'wall s':>9}{'CPU s':>9}{'MB':>6}  goal")
    for who, usage in found.items():
        if not isinstance(usage, Usage):
            print(f"{who:34}  {usage}")
            continue
        verdict = (
            "" if who.startswith("python") else f"{GOAL_START:g} s {'met' if usage.wall <= GOAL_START else 'MISSED'}"
        )
        print(f"{who:34}{usage.wall:9.3f}{usage.cpu:9.3f}{usage.megabytes:6.0f}  {verdict}")


def main() -> None:
    """Print both tables."""
    setting = arguments(__doc__, default_scale="118k", repeats=7)
    sets, scale = make(setting), SCALES[setting.scale]
    print_machine()
    print(f"detection of {scale.images:,} + 200 images; seconds of a call, the median of {CALLS - 1} after the first")
    print(f"{'':34}{'first s':>9}{'median s':>9}{'CPU s':>9}  answer")
    for dataset in sets:
        print_detection(dataset.name.removesuffix(setting.scale), dataset)
    print(f"starts: {setting.repeats} repeats, medians")
    print_starts(setting.repeats)


if __name__ == "__main__":
    main()
