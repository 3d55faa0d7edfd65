"""The commands that train and evaluate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rfdetr_train.cli import EXIT_CODES
from rfdetr_train.evaluation.files import REPORT_HTML
from rfdetr_train.params import RUN_PARAMETERS, TRAINING_PARAMETERS, Parameters, shown_default


@contextmanager
def _prepared(dataset_dir: str, **reading: Any) -> Iterator[Path]:
    """What training and evaluation read of a dataset: checked COCO annotations, and where the images are."""
    from rfdetr_train.datasets import convert as prepare

    with tempfile.TemporaryDirectory(prefix="rfdetr-prepared-") as work:
        folder = Path(work) / "prepared"
        prepare(dataset_dir, folder, target="coco", images="reference", **reading)
        yield folder


def contract_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each parameter of the contract."""
    for name in reversed([*TRAINING_PARAMETERS, *RUN_PARAMETERS]):
        help_text = f"{Parameters.model_fields[name].description} [{shown_default(name)}]"
        command = click.option(f"--{name}", metavar="VALUE", help=help_text)(command)
    return command


# Both --batch_size, as RF-DETR spells it, and --batch-size.
_EITHER_SPELLING = {"token_normalize_func": lambda token: token.replace("-", "_"), "max_content_width": 110}


@click.command(context_settings=_EITHER_SPELLING, epilog=EXIT_CODES)
@contract_options
def train(**values: str | None) -> None:
    """Train a detector: check the data, convert it to COCO, train under torchrun, log to MLflow.

    The options are RF-DETR's training parameters, then those of the run.
    """
    from rfdetr_train.params import parse

    parameters = parse({name: value for name, value in values.items() if value is not None})
    from rfdetr_train.launch.training import train as run
    from rfdetr_train.steps import DataOptions

    with _prepared(parameters.dataset_dir, **DataOptions.of(parameters).arguments()) as prepared:
        result = run(parameters, prepared)
    click.echo(
        f"Trained {result.completed_epochs} epochs. Checkpoints: {result.output_dir}. MLflow run {result.run_id}."
    )
    click.echo(
        f"Evaluate: rfdetr-train evaluate {result.output_dir} {parameters.dataset_dir} --device {parameters.device}"
    )


@click.command()
@click.argument("checkpoint")
@click.argument("dataset_dir")
@click.option("--split", type=click.Choice(["test", "valid"]), default="test", show_default=True, help="What to score.")
@click.option("--device", type=click.Choice(["cuda", "cpu", "mps"]), default="cuda", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=4, show_default=True, help="Images at once.")
@click.option("--num-workers", type=click.IntRange(0), default=2, show_default=True, help="Data loading processes.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("evaluation"), show_default=True)
def evaluate(
    checkpoint: str, dataset_dir: str, split: str, device: str, batch_size: int, num_workers: int, output: Path
) -> None:
    """Score a checkpoint with pycocotools and write evaluation.json and report.html.

    CHECKPOINT is a file, the output folder of a training, s3://… or runs:/…; DATASET_DIR a folder or s3://….
    """
    from rfdetr_train.evaluation.evaluate import evaluate as run
    from rfdetr_train.evaluation.report import to_markdown

    with _prepared(dataset_dir) as prepared:
        evaluation = run(
            checkpoint,
            prepared,
            output,
            split=split,
            device=device,
            batch_size=batch_size,
            num_workers=num_workers,
        )
    click.echo(to_markdown(evaluation))
    click.echo(f"Report: {output / REPORT_HTML}")
