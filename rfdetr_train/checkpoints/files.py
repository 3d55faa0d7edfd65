"""Names and meaning of the checkpoint files; defined here and nowhere else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rfdetr_train.checkpoints.load import load
from rfdetr_train.files import atomic_replace

LATEST = "checkpoint.pth"  # the most recent one, for resuming
BEST_EMA = "checkpoint_best_ema.pth"  # best validation performance, EMA weights
BEST_REGULAR = "checkpoint_best_regular.pth"  # best validation performance, raw weights
BEST_TOTAL = "checkpoint_best_total.pth"  # the better of the two, for inference
METRICS = "metrics.csv"
JOURNAL = "metrics.jsonl"  # the metrics of every epoch, as they go to MLflow

_INTERVAL = re.compile(r"checkpoint_([1-9]\d{0,8})\.pth")


def interval_name(completed_epochs: int) -> str:
    """Name of the checkpoint kept after so many completed epochs: ``checkpoint_10.pth`` after ten."""
    return f"checkpoint_{completed_epochs}.pth"


def is_interval_name(name: str) -> bool:
    """Whether a name is that of a ``checkpoint_<N>.pth``."""
    return _INTERVAL.fullmatch(name) is not None


def is_published_name(name: str) -> bool:
    """Whether a name is one that a commit or a manifest may hold; everything else is refused."""
    return name in (LATEST, BEST_EMA, BEST_REGULAR, BEST_TOTAL, METRICS, JOURNAL) or is_interval_name(name)


def checkpoint_files(output_dir: Path) -> list[Path]:
    """The checkpoint files that a folder holds, sorted by name; other files are not listed."""
    fixed = {LATEST, BEST_EMA, BEST_REGULAR, BEST_TOTAL}
    found = output_dir.glob("checkpoint*.pth")
    return sorted(path for path in found if path.name in fixed or is_interval_name(path.name))


def bring_along(resume: Path, output_dir: Path) -> None:
    """Copy the best files and the metrics that lie beside ``resume`` to the folder of the resumed run.

    Without them the best score of the earlier run would stand for files that are not there.

    Raises:
        CheckpointError: When one of them cannot be loaded safely.
    """
    if resume.resolve().parent == output_dir.resolve():
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in (BEST_EMA, BEST_REGULAR, BEST_TOTAL, METRICS, JOURNAL):
        source = resume.parent / name
        if source.is_file():
            if source.suffix == ".pth":
                load(source, parameter="resume")  # refused now rather than when the training gets to it
            with atomic_replace(output_dir / name) as temporary:
                shutil.copyfile(source, temporary)
