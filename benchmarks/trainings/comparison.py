"""Whether two trainings left the same: every tensor, counter, score and metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from rfdetr_train.checkpoints.files import JOURNAL, METRICS, checkpoint_files

# Arguments that say how an attempt was started, not what came out: the staged data has a new name each time.
_OF_THE_ATTEMPT = ("dataset_dir", "resume")


def differences(reference: Path, other: Path) -> list[str]:
    """What differs between two output folders; empty when nothing does."""
    names = [[path.name for path in checkpoint_files(folder)] for folder in (reference, other)]
    if names[0] != names[1]:
        return [f"files {names[0]} and {names[1]}"]
    found = [f"{name}{where}" for name in names[0] for where in _between(_load(reference, name), _load(other, name))]
    if (reference / METRICS).read_text() != (other / METRICS).read_text():
        found.append(METRICS)
    if _journal(reference) != _journal(other):
        found.append(JOURNAL)
    return found


def _load(folder: Path, name: str) -> Any:
    loaded = torch.load(folder / name, weights_only=True, map_location="cpu")
    for argument in _OF_THE_ATTEMPT:
        loaded.get("args", {}).pop(argument, None)
    return _without(str(folder.absolute()), loaded)


def _without(folder: str, value: Any) -> Any:
    """Take the name of the folder out; callbacks save paths."""
    if isinstance(value, str):
        return value.replace(folder, "")
    if isinstance(value, dict):
        return {_without(folder, key): _without(folder, item) for key, item in value.items()}
    return [_without(folder, item) for item in value] if isinstance(value, list | tuple) else value


def _between(one: Any, other: Any, where: str = "") -> list[str]:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [f"{where}: max difference {_distance(one, other)}"]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in _between(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            found for i, (a, b) in enumerate(zip(one, other, strict=True)) for found in _between(a, b, f"{where}/{i}")
        ]
    same = type(one) is type(other) and (one == other or (one != one and other != other))
    return [] if same else [f"{where}: {str(one)[:60]} and {str(other)[:60]}"]


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().max()) if one.shape == other.shape else float("inf")


def _journal(folder: Path) -> list[Any]:
    lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
    return [(line["step"], line["metrics"]) for line in lines]
