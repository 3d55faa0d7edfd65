"""Put an evaluation into the MLflow run of its training."""

from __future__ import annotations

from pathlib import Path

from rfdetr_train.evaluation.model import Evaluation
from rfdetr_train.tracking.run import EVALUATION, TrackedRun
from rfdetr_train.tracking.server import require_server


def log_evaluation(evaluation: Evaluation, report_dir: Path, run_id: str) -> None:
    """Log the numbers, named ``<split>/<metric>``, and the report files.

    Args:
        evaluation: What was scored.
        report_dir: Folder that ``write_reports`` wrote.
        run_id: MLflow run of the training.

    Raises:
        InfrastructureError: When the environment names no tracking server to find the run on.
    """
    run = TrackedRun(run_id, require_server(), owned=False)
    metrics = {f"{evaluation.split}/{name}": value for name, value in evaluation.scores.finite_metrics().items()}
    run.log_metrics(metrics, step=evaluation.checkpoint_epoch or 0)
    run.log_files(sorted(report_dir.iterdir()), EVALUATION)
