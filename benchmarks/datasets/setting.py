"""What the dataset benchmarks have in common: their arguments, and what they say of the machine."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_DATA = Path.home() / ".cache" / "rfdetr-pipelines-bench"


class Setting(NamedTuple):
    """The arguments of a benchmark.

    Attributes:
        scale: 20k or 118k.
        data: Folder of the generated datasets, and of what the benchmarks write.
        repeats: How often everything is run.
        only: Names of what is compared; empty for all.
    """

    scale: str
    data: Path
    repeats: int
    only: tuple[str, ...]

    @property
    def scratch(self) -> Path:
        """Where the benchmarks write: on the disk of the data, or links would become copies."""
        return self.data / "scratch"


def arguments(description: str, *, default_scale: str, repeats: int = 3) -> Setting:
    """Read the command line.

    Args:
        description: The docstring of the benchmark.
        default_scale: The scale without an argument.
        repeats: How often everything is run without an argument.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("20k", "118k"), default=default_scale)
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder for data and output; in /dev/shm it is memory"
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--only", default="", help="names of what is compared, with commas; all by default")
    parsed = parser.parse_args()
    data = parsed.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    return Setting(parsed.scale, data, parsed.repeats, tuple(filter(None, parsed.only.split(","))))


def filesystem_of(path: Path) -> str:
    """Return the kind of file system that a path is on, for example tmpfs."""
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, capture_output=True, text=True).stdout.strip()


def print_machine() -> None:
    """Say what the figures were measured on."""
    load = os.getloadavg()[0]
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
