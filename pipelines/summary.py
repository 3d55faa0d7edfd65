"""The short table at the end of a local run."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from rfdetr_pipelines.local import LocalRun
from rfdetr_train.checkpoints.files import METRICS


def summary(run: LocalRun, next_command: str) -> str:
    """Scores, where everything is, and what to do next.

    Args:
        run: A finished run.
        next_command: Command of this environment, with arguments, to show as the next step.
    """
    evaluation = json.loads(run.evaluation.read_text(encoding="utf-8"))
    scores, split = evaluation["scores"], evaluation["split"]
    rows = [
        ("best val mAP50 / mAP50:95", " / ".join(_best(run, name) for name in ("mAP_50", "mAP_50_95"))),
        (f"{split} mAP50 / mAP50:95", f"{_number(scores['AP50'])} / {_number(scores['AP'])}"),
        ("wall time", f"{run.seconds:.0f} s"),
        ("report", str(run.report)),
        ("checkpoints", run.parameters.output_dir),
        ("MLflow UI", f"{_command('mlflow')} ui --backend-store-uri {run.tracking_uri}"),
        ("next", f"{_command(next_command.split()[0])} {next_command.split(maxsplit=1)[1]}"),
    ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{width}}  {value}" for label, value in rows)


def _command(name: str) -> str:
    """A command of this environment, as it can be typed from here."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _best(run: LocalRun, metric: str) -> str:
    """Best validation score of the run, EMA weights or raw ones."""
    with Path(run.parameters.output_dir, METRICS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [float(row[key]) for row in rows for key in (f"val/{metric}", f"val/ema_{metric}") if row.get(key)]
    return _number(max(found, default=None))
