"""CPU and memory of naming and checking a dataset: rfdetr's own way against ours, in one run.

    .venv/bin/python benchmarks/detect.py [DATASET]

The peer does what a training start of rfdetr pays before it knows that the data is usable: import, name the format,
build the train and validation datasets. Ours is ``rfdetr-train detect``, which also reports defects. Each is a process
of its own; the median of interleaved repeats is shown, with the share of rfdetr's import apart. Without DATASET,
shapes are drawn (generation is timed apart). Goal: at most a fifth of the peer's CPU seconds.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

REPEATS = 3
GOAL = 5.0
PEER_IMPORT = """
import sys
from rfdetr.config import RFDETRNanoConfig, TrainConfig
from rfdetr.training import RFDETRDataModule
"""
PEER = f"""{PEER_IMPORT}
config = TrainConfig(dataset_dir=sys.argv[1], output_dir=sys.argv[2], num_workers=0)
RFDETRDataModule(RFDETRNanoConfig(pretrain_weights=None), config).setup("fit")
"""
OURS = "import sys; from rfdetr_train.cli import main; main(['detect', sys.argv[1]])"
# Runs a snippet in a child and prints its user and system seconds and peak memory.
MEASURE = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-W", "ignore", "-c", *sys.argv[1:]], check=True, capture_output=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def measure(snippet: str, dataset: Path, scratch: Path) -> tuple[float, float]:
    """CPU seconds (user and system) and peak memory in MB of one process."""
    command = [sys.executable, "-c", MEASURE, snippet, str(dataset), str(scratch)]
    seconds, megabytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(megabytes)


def draw(folder: Path) -> Path:
    """The sample dataset, larger than the demo's."""
    from rfdetr_train.datasets.sample import make_sample

    started = time.process_time()
    make_sample(folder, train=2000, valid=200, test=200, size=64)
    print(f"generator: 2,400 images of 64 px, {time.process_time() - started:.1f} CPU s")
    return folder


def main() -> None:
    """Run all, interleaved, and print the rows."""
    snippets = {"rfdetr": PEER, "  import": PEER_IMPORT, "ours": OURS}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else draw(Path(scratch) / "shapes")
        runs = [{who: measure(code, dataset, Path(scratch)) for who, code in snippets.items()} for _ in range(REPEATS)]
    cpu, memory = ({who: statistics.median(run[who][i] for run in runs) for who in snippets} for i in (0, 1))
    print(f"machine: {platform.machine()}, Python {platform.python_version()}, rfdetr {version('rfdetr')}")
    print(f"dataset: {dataset.name}; {REPEATS} repeats, median")
    print(f"{'':10}{'CPU s':>8}{'MB':>8}")
    for who in snippets:
        print(f"{who:10}{cpu[who]:8.2f}{memory[who]:8.0f}")
    net = (cpu["rfdetr"] - cpu["  import"]) / cpu["ours"]
    print(f"ratio: {cpu['rfdetr'] / cpu['ours']:.1f} (goal {GOAL:g}); rfdetr without its import: {net:.1f}")


if __name__ == "__main__":
    main()
