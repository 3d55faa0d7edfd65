"""The steps of the pipeline as functions: what a component's body calls, and nothing of KFP.

Each runs inside :func:`rfdetr_train.status.step`, so that a mistake ends the step with its exit code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rfdetr_train import status
from rfdetr_train.evaluation.files import REPORT_HTML, REPORT_JSON
from rfdetr_train.files import atomic_write_bytes, atomic_write_text
from rfdetr_train.params import Parameters, parse
from rfdetr_train.tracking.server import require_server

if TYPE_CHECKING:
    from rfdetr_train.datasets import DatasetReport
    from rfdetr_train.evaluation.model import Evaluation
    from rfdetr_train.launch.training import TrainingResult


def resolve_parameters(values: Mapping[str, Any], report: str) -> Parameters:
    """Validate the parameters and the environment of a run, and write what will be run as Markdown.

    Args:
        values: Parameter values as KFP delivers them.
        report: Path of the Markdown file.
    """
    with status.step("resolve_parameters"):
        parameters = parse(values)
        require_server()
        atomic_write_text(report, _plan(parameters))
    return parameters


class DataOptions(NamedTuple):
    """How a dataset is read: the parameters of the run that say so, as they were given.

    Attributes:
        format: Its format where the files cannot tell; "" otherwise.
        task: What its labels were made for, where their rows cannot tell; "" otherwise.
        on_error: What errors do.
        on_warning: What warnings do.
    """

    format: str
    task: str
    on_error: str
    on_warning: str

    @classmethod
    def of(cls, parameters: Parameters) -> DataOptions:
        """Return the options of a run."""
        return cls(
            parameters.dataset_format, parameters.dataset_task, parameters.on_data_error, parameters.on_data_warning
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for ``inspect`` and ``convert``.

        Raises:
            ParameterError: An action is none of fail, warn and drop.
        """
        from rfdetr_train.datasets.findings import Policy

        return {"format": self.format, "task": self.task, "policy": Policy.parse(self.on_error, self.on_warning)}


def detect_dataset(
    dataset_dir: str, eval_split: str, options: DataOptions, *, markdown: str, json_report: str
) -> DatasetReport:
    """Name the format of a dataset, check its annotations, and write the report as Markdown and as JSON.

    Args:
        dataset_dir: Folder, archive or URI.
        eval_split: Split that the evaluation will need.
        options: How the dataset is read.
        markdown: Path of the Markdown file.
        json_report: Path of the JSON file.
    """
    from rfdetr_train.datasets import inspect

    with status.step("detect_dataset"):
        reading = options.arguments()
        splits = ("train", "valid", eval_split)
        # The images are checked by the conversion, which needs their headers anyway.
        found = inspect(dataset_dir, required_splits=splits, images=False, **reading)
        found.write_markdown(markdown)
        found.write_json(json_report)
        print(found.to_text())
        found.raise_for_errors(reading["policy"])
    return found


def convert_dataset(dataset_dir: str, prepared: str, options: DataOptions, *, fingerprint: str, markdown: str) -> None:
    """Write COCO annotations and the manifest of a dataset; images stay where they are.

    Args:
        dataset_dir: Folder, archive or URI.
        prepared: Folder to write.
        options: How the dataset is read.
        fingerprint: What the dataset was when it was checked; "" to take it as it is.
        markdown: Path of the report on the images.
    """
    from rfdetr_train.datasets import convert
    from rfdetr_train.datasets.report import conversion_to_markdown
    from rfdetr_train.errors import DatasetError

    with status.step("convert_dataset"):
        made = convert(dataset_dir, prepared, target="coco", images="reference", **options.arguments())
        atomic_write_text(markdown, conversion_to_markdown(made))
        if fingerprint and made.source_fingerprint != fingerprint:
            raise DatasetError(
                f"dataset_dir: {dataset_dir} changed while the pipeline ran: fingerprint {fingerprint} when it was "
                f"checked, {made.source_fingerprint} now. Start the run again when nothing writes to it."
            )


def train(values: Mapping[str, Any], prepared: str, *, kfp_run_id: str, goodput: str) -> TrainingResult:
    """Train on a prepared dataset, and write where the time went as Markdown, also of a training that fails.

    Args:
        values: Parameter values.
        prepared: What ``convert_dataset`` wrote.
        kfp_run_id: The run of the pipeline: a retry of the step continues the training of that run.
        goodput: Path of the Markdown file.
    """
    from rfdetr_train.launch.account import GOODPUT_FILE
    from rfdetr_train.launch.training import train as run

    with status.step("train"):
        parameters = parse(values)
        measured = Path(parameters.output_dir, GOODPUT_FILE)
        before = _modified(measured)
        try:
            return run(parameters, Path(prepared), kfp_run_id=kfp_run_id)
        finally:
            # An unchanged one is of an earlier attempt, or of another run whose folder was refused.
            if _modified(measured) != before:
                _show_goodput(measured, goodput)


def evaluate(
    values: Mapping[str, Any], prepared: str, checkpoint: str, run_id: str, *, html: str, json_report: str
) -> Evaluation:
    """Score a checkpoint, write the report, and log the numbers and files to the run of the training.

    Args:
        values: Parameter values.
        prepared: What ``convert_dataset`` wrote.
        checkpoint: Path or URI.
        run_id: MLflow run of the training, or "" for none.
        html: Path of the HTML report to write.
        json_report: Path of the JSON report to write.
    """
    from rfdetr_train.evaluation.evaluate import evaluate as run
    from rfdetr_train.evaluation.track import log_evaluation

    with status.step("evaluate"), tempfile.TemporaryDirectory(prefix="rfdetr-report-") as work:
        parameters = parse(values)
        evaluation = run(
            checkpoint,
            Path(prepared),
            Path(work),
            split=parameters.eval_split,
            device=parameters.device,
            batch_size=parameters.batch_size,
            num_workers=parameters.num_workers,
            run_id=run_id,
        )
        if run_id:
            log_evaluation(evaluation, Path(work), run_id)
        for name, path in ((REPORT_HTML, html), (REPORT_JSON, json_report)):
            atomic_write_bytes(path, (Path(work) / name).read_bytes())
    return evaluation


def report_status(pipeline: str, state: str, error: str, report: str) -> None:
    """Write and print how a pipeline run ended.

    Args:
        pipeline: Resource name of the run.
        state: Final state, as KFP says.
        error: KFP's error message; may be empty.
        report: Path of the Markdown file.
    """
    text = status.report(pipeline=pipeline, state=state, error=error)
    print(text)
    atomic_write_text(report, text)


def _show_goodput(measured: Path, report: str) -> None:
    """Write the goodput of a run as Markdown, and to the log: of a step that failed, KFP keeps nothing else."""
    from rfdetr_train.training.goodput import Goodput, to_markdown

    try:
        text = to_markdown(msgspec.json.decode(measured.read_bytes(), type=Goodput))
    except (OSError, msgspec.DecodeError):
        return
    print(text)
    atomic_write_text(report, text)


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def _plan(parameters: Parameters) -> str:
    rows = "\n".join(f"| `{name}` | `{value}` |" for name, value in parameters.as_sent().items())
    notes = "".join(f"\n> {note}\n" for note in parameters.notes)
    return (
        f"# Training plan\n\nRF-DETR {parameters.model} at {parameters.effective_resolution} px, "
        f"{parameters.epochs} epochs, effective batch {parameters.effective_batch_size} (batch_size x "
        f"grad_accum_steps x {parameters.world_size} process(es)).\n{notes}\n"
        f"| parameter | value |\n|---|---|\n{rows}\n"
    )
