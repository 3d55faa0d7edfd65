"""Names and meaning of the checkpoint files; defined here and nowhere else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rfdetr_train.checkpoints.load import load
from rfdetr_train.errors import ParameterError
from rfdetr_train.files import atomic_replace

LATEST = "checkpoint.pth"  # the most recent one, for resuming
BEST_EMA = "checkpoint_best_ema.pth"  # best validation performance, EMA weights
BEST_REGULAR = "checkpoint_best_regular.pth"  # best validation performance, raw weights
BEST_TOTAL = "checkpoint_best_total.pth"  # the better of the two, for inference
METRICS = "metrics.csv"

_INTERVAL = re.compile(r"checkpoint_(\d+)\.pth")


def interval_name(completed_epochs: int) -> str:
    """Name of the checkpoint kept after so many completed epochs: ``checkpoint_10.pth`` after ten."""
    return f"checkpoint_{completed_epochs}.pth"


def checkpoint_files(output_dir: Path) -> list[Path]:
    """The checkpoint files that a folder holds, sorted by name; other files are not listed."""
    fixed = {LATEST, BEST_EMA, BEST_REGULAR, BEST_TOTAL}
    found = output_dir.glob("checkpoint*.pth")
    return sorted(path for path in found if path.name in fixed or _INTERVAL.fullmatch(path.name))


def refuse_to_overwrite(output_dir: Path, resume: Path | None) -> None:
    """Refuse a folder that holds the checkpoints of another run.

    Raises:
        ParameterError: When it does and the run does not resume from that folder.
    """
    held = checkpoint_files(output_dir)
    if not held or (resume is not None and resume.resolve().parent == output_dir.resolve()):
        return
    raise ParameterError(
        f"output_dir: {output_dir} holds the checkpoints of an earlier run ({held[0].name}, {len(held)} in all). "
        f"Continue that run with resume={output_dir / LATEST}, or choose another output_dir."
    )


def bring_along(resume: Path, output_dir: Path) -> None:
    """Copy the best files and the metrics that lie beside ``resume`` to the folder of the resumed run.

    Without them the best score of the earlier run would stand for files that are not there.

    Raises:
        CheckpointError: When one of them cannot be loaded safely.
    """
    if resume.resolve().parent == output_dir.resolve():
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in (BEST_EMA, BEST_REGULAR, BEST_TOTAL, METRICS):
        source = resume.parent / name
        if source.is_file():
            if source.suffix == ".pth":
                load(source, parameter="resume")  # refused now rather than when the training gets to it
            with atomic_replace(output_dir / name) as temporary:
                shutil.copyfile(source, temporary)
