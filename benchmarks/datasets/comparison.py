"""Runs the ways to do a conversion in turn, and prints a row for each beside ours."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from measure import Usage, interleave
from peers import Way, version_of
from setting import Setting, filesystem_of

_IMPORT = " import"
_HEADER = f"{'':20}{'version':>10}{'CPU s':>8}{'user':>7}{'system':>7}{'net':>7}{'MB':>7}{'wall s':>8}{'images':>9}"


class Goal(NamedTuple):
    """What is wanted: how many times our CPU seconds and our memory a peer needs; 0 where nothing is promised.

    Attributes:
        cpu: CPU seconds.
        net: CPU seconds without the imports.
        memory: Peak memory.
    """

    cpu: float = 0
    net: float = 0
    memory: float = 0


Count = Callable[[Path], tuple[int, int]]


def compare(ways: Mapping[str, Way], source: Path, setting: Setting, goals: Mapping[str, Goal], count: Count) -> None:
    """Run all ways on a dataset, and print a row for each.

    Args:
        ways: The peers and ``ours``.
        source: The dataset.
        setting: Scale, repeats, which of the ways, and where to write.
        goals: Of the peers that there is a goal for.
        count: Says how many images and boxes an output has.
    """
    ways = {who: way for who, way in ways.items() if who in setting.only or not setting.only}
    refused = {who: _refusal(way, setting) for who, way in ways.items()}
    runs: dict[str, Callable[[], Usage]] = {}
    made: dict[str, tuple[int, int]] = {}
    setting.scratch.mkdir(exist_ok=True)
    print(f"data and output on {filesystem_of(setting.scratch)}")
    with tempfile.TemporaryDirectory(dir=setting.scratch, ignore_cleanup_errors=True) as scratch:
        for who, way in ways.items():
            if not refused[who]:
                runs[who] = functools.partial(_run, who, way, source, Path(scratch), count, made)
                runs[who + _IMPORT] = way.only_import
        found: dict[str, Usage | str] = interleave(runs, setting.repeats)
    print(f"{_HEADER}{'boxes':>9}{'CPU x':>8}{'net x':>8}{'MB x':>8}  goal")
    for who, way in ways.items():
        usage = refused[who] or found[who]
        label = f"{who:20}{version_of(way.package):>10}"
        if isinstance(usage, str):
            print(f"{label}  {usage}")
            continue
        images, boxes = made[who]
        counted = f"{images:9}{boxes:9}" if images else f"{'-':>9}{'-':>9}"
        print(f"{label}{_row(who, usage, found)}{counted}{_ratios(who, found, goals.get(who, Goal()))}", flush=True)


def count_yolo(folder: Path) -> tuple[int, int]:
    """Count label files and rows."""
    files = [path for path in folder.rglob("*.txt") if re.fullmatch(r"\d+", path.stem)]
    return len(files), sum(path.read_bytes().count(b"\n") for path in files)


def count_coco(folder: Path) -> tuple[int, int]:
    """Count the entries of ``images`` and ``annotations``."""
    images = boxes = 0
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_bytes())
        if "annotations" in content:
            images, boxes = images + len(content["images"]), boxes + len(content["annotations"])
    return images, boxes


def _refusal(way: Way, setting: Setting) -> str:
    """Say why a way is not run; "" where it is."""
    if not version_of(way.package):
        return "not installed (make bench-peers)"
    return f"not run at {setting.scale}: {way.too_large}" if way.too_large and setting.scale == "118k" else ""


def _run(who: str, way: Way, source: Path, scratch: Path, count: Count, made: dict[str, tuple[int, int]]) -> Usage:
    """Run a way, and count what its first run made.

    A disk keeps the output until the end: for minutes ext4 steps over every inode that was freed, one by one, whenever
    it looks for a new one, and the next way would pay for it. Memory is given back at once.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        usage = way.run(source, folder / "out")
        if who not in made:
            made[who] = count(folder)
    finally:
        if filesystem_of(folder) == "tmpfs":
            shutil.rmtree(folder)
    return usage


def _net(who: str, found: Mapping[str, Usage | str]) -> float:
    """Return CPU seconds without the imports."""
    whole, imports = found[who], found[who + _IMPORT]
    assert isinstance(whole, Usage) and isinstance(imports, Usage), imports
    return whole.cpu - imports.cpu


def _row(who: str, usage: Usage, found: Mapping[str, Usage | str]) -> str:
    cpu = f"{usage.cpu:8.2f}{usage.user:7.2f}{usage.system:7.2f}{_net(who, found):7.2f}"
    return f"{cpu}{usage.megabytes:7.0f}{usage.wall:8.2f}"


def _ratios(who: str, found: Mapping[str, Usage | str], goal: Goal) -> str:
    """Say how many times what we need a peer needs, and what is wanted."""
    peer, ours = found[who], found.get("ours")
    if who.startswith("ours") or not isinstance(peer, Usage) or not isinstance(ours, Usage):
        return ""
    ratios = (peer.cpu / ours.cpu, _net(who, found) / _net("ours", found), peer.megabytes / ours.megabytes)
    columns = zip(("CPU", "net", "MB"), ratios, goal, strict=True)
    wanted = [f"{name} {limit:.3g} {'met' if ratio >= limit else 'MISSED'}" for name, ratio, limit in columns if limit]
    return "".join(f"{ratio:8.2f}" for ratio in ratios) + "  " + ", ".join(wanted)
