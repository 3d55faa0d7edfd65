"""The demo: a small dataset is drawn, and the whole pipeline learns it on the CPU in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rfdetr_pipelines.compile import PACKAGE, compile_pipeline
from rfdetr_pipelines.local import LocalRun, run_locally
from rfdetr_train.datasets.sample import make_sample

# The official Nano class, cut by its own public arguments until two CPU cores can train it from random
# initialisation: fewer queries and groups, the first encoder blocks only, 96 px, no upscaling augmentations.
PARAMETERS: dict[str, Any] = {
    "model": "nano",
    "pretrain_weights": "none",
    "device": "cpu",
    "resolution": 96,
    "epochs": 12,
    "batch_size": 8,
    "grad_accum_steps": 1,
    "checkpoint_interval": 4,
    "num_workers": 0,
    "experiment": "demo",
    "extra_train_args": {
        "num_windows": 1,
        "out_feature_indexes": [2],
        "hidden_dim": 128,
        "sa_nheads": 4,
        "ca_nheads": 8,
        "dec_layers": 2,
        "num_queries": 15,
        "group_detr": 4,
        "scale_jitter": False,
        "multi_scale": "off",
    },
}


def run_demo(workdir: Path) -> LocalRun:
    """Draw the dataset, unless it is there, compile the pipeline and run it on it.

    Args:
        workdir: Folder for the dataset and the run.
    """
    dataset = workdir / "shapes-yolo"
    if not dataset.exists():
        make_sample(dataset)
    package = workdir / PACKAGE.name
    compile_pipeline(package)
    return run_locally({"dataset_dir": str(dataset.absolute()), **PARAMETERS}, workdir, package)
