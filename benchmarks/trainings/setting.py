"""What the trainings of the benchmarks have in common: drawn data, arguments, a database, a header of the report."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))
# Fewer queries and no other scales: a CPU then takes a step in a second, with the encoder and decoder as they are.
SHORT_STEPS = {"group_detr": 1, "num_queries": 50, "multi_scale": "off", "scale_jitter": False}
AUGMENTED = {"multi_scale": "per-batch", "scale_jitter": True}


def print_machine() -> None:
    """Say what the figures were measured on."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    print(f"machine: {machine}, Python {platform.python_version()}")
    packages = ("rfdetr", "torch", "pytorch-lightning", "mlflow", "boto3")
    print(", ".join(f"{package} {version(package)}" for package in packages), flush=True)


def own_environment() -> dict[str, str]:
    """The environment without what would lead a training of a benchmark to somebody's tracking server."""
    foreign = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "RFDETR_STATUS_FILE")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def draw(folder: Path, *, train: int) -> Path:
    """Draw a dataset of so many training images of 64 px."""
    from rfdetr_train.datasets.sample import make_sample

    make_sample(folder, train=train, valid=6, test=6, size=64)
    return folder


def tiny_arguments(dataset: Path, output_dir: Path, **changes: Any) -> list[str]:
    """The command line of a training of the tiny encoder on the CPU."""
    from tiny_encoder import MODEL_ARGUMENTS

    return arguments(dataset, output_dir, extra_train_args=json.dumps({**MODEL_ARGUMENTS, **AUGMENTED}), **changes)


def arguments(dataset: Path, output_dir: Path, **changes: Any) -> list[str]:
    """The command line of a training of the nano model on the CPU, from random weights."""
    values = {
        "dataset_dir": dataset,
        "output_dir": output_dir,
        "model": "nano",
        "pretrain_weights": "none",
        "device": "cpu",
        "resolution": 64,
        "num_workers": 0,
        "tensorboard": "false",
        "extra_train_args": json.dumps(SHORT_STEPS),
        **changes,
    }
    return ["train", *(f"--{name}={value}" for name, value in values.items())]
