"""``rfdetr-train``: the library on the command line. Every command ends with the exit code of its class."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rfdetr_train import __version__, status
from rfdetr_train.errors import ExitCode
from rfdetr_train.evaluation.files import REPORT_HTML
from rfdetr_train.params import RUN_PARAMETERS, TRAINING_PARAMETERS, Parameters, shown_default

if TYPE_CHECKING:
    from rfdetr_train.datasets import DatasetReport
    from rfdetr_train.datasets.findings import Policy

EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."


class StepGroup(click.Group):
    """A group whose commands end with the exit code of their failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command inside ``status.step``."""
        with status.step(ctx.info_name or "rfdetr-train"):
            return super().invoke(ctx)


@click.group(cls=StepGroup, epilog=EXIT_CODES, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Train, evaluate and inspect RF-DETR detectors and their datasets."""


_DATASET = """DATASET_DIR is a folder, a .zip or .tar(.gz, .zst) archive, or s3://bucket/prefix of either."""


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how a dataset is read, where its files cannot."""

    def choice(name: str, choices: list[str], text: str) -> Callable[..., Callable[..., None]]:
        return click.option(
            name, type=click.Choice(choices), callback=lambda ctx, option, value: value or "", help=text
        )

    command = choice("--task", ["detect", "segment", "pose", "obb"], "What rows are, where they cannot tell.")(command)
    return choice("--format", ["coco", "yolo"], "What to read, where both are there.")(command)


def policy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what findings do, and what EXIF orientation means."""
    actions = click.Choice(["fail", "warn", "drop"])
    for option in (
        click.option(
            "--exif",
            type=click.Choice(["auto", "displayed", "raw", "refuse"]),
            default="auto",
            show_default=True,
            help="Frame of the boxes in images with an EXIF orientation; auto tells it from their sizes.",
        ),
        click.option("--on-warning", type=actions, default="warn", show_default=True, help="What warnings do."),
        click.option(
            "--on-error",
            type=actions,
            default="fail",
            show_default=True,
            help="What errors do: refuse, report and go on, or leave out what is wrong.",
        ),
    ):
        command = option(command)
    return command


def report_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that write its report to files."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--markdown", type=path, help="Also write the report as Markdown."),
        click.option("--json", "json_file", type=path, help="Also write the report as JSON."),
    ):
        command = option(command)
    return command


def _show(report: DatasetReport, json_file: Path | None, markdown: Path | None, policy: Policy) -> None:
    """Print a report, write it where it is wanted, and end with the exit code of bad data where it is."""
    if json_file is not None:
        report.write_json(json_file)
    if markdown is not None:
        report.write_markdown(markdown)
    click.echo(report.to_text())
    report.raise_for_errors(policy)


@main.command(epilog=_DATASET)
@click.argument("dataset_dir")
@reading_options
@report_options
def detect(dataset_dir: str, json_file: Path | None, markdown: Path | None, **reading: str) -> None:
    """Name the format, splits and classes of a labelled dataset, in under a second whatever its size.

    A sample of the annotations is checked, and small datasets whole; no image is opened. See inspect for everything.
    """
    from rfdetr_train.datasets import detect as run
    from rfdetr_train.datasets.findings import Policy

    _show(run(dataset_dir, **reading), json_file, markdown, Policy())


@main.command(epilog=_DATASET)
@click.argument("dataset_dir")
@reading_options
@policy_options
@report_options
@click.option("--images/--no-images", default=True, show_default=True, help="Check the headers of the images too.")
@click.option(
    "--fix",
    type=click.Path(path_type=Path),
    help="Write a copy of the dataset to this new folder, in its own format, with what is wrong put right or left out.",
)
def inspect(
    dataset_dir: str,
    json_file: Path | None,
    markdown: Path | None,
    fix: Path | None,
    images: bool,
    exif: str,
    on_error: str,
    on_warning: str,
    **reading: str,
) -> None:
    """Check everything about a dataset: every annotation, every image header, the splits against each other.

    Each finding has a code, the first places, and what to do about it. Nothing is changed, except in a copy with --fix.
    """
    from rfdetr_train.datasets import fix as write_fixed
    from rfdetr_train.datasets import inspect as run
    from rfdetr_train.datasets.findings import Policy

    policy = Policy.parse(on_error, on_warning)
    report = run(dataset_dir, images=images, exif=exif, policy=policy, **reading)  # type: ignore[arg-type]
    if fix is None:
        _show(report, json_file, markdown, policy)
        return
    _show(report, json_file, markdown, Policy("warn", "warn"))
    fixed = write_fixed(dataset_dir, fix, exif=exif, **reading)  # type: ignore[arg-type]
    click.echo(f"Wrote {fix}. Changed: {_counts(fixed.changes)}.")


@main.command(epilog=_DATASET + " OUTPUT_DIR is a new folder, written completely or not at all.")
@click.argument("dataset_dir")
@click.argument("output_dir")
@click.option("--to", "target", type=click.Choice(["coco", "yolo"]), required=True, help="Format to write.")
@click.option(
    "--images",
    type=click.Choice(["link", "copy", "reference", "none", "server-copy"]),
    default="link",
    show_default=True,
    help="Hard links (copies across disks); copies; a manifest of where they are, for stage; labels only, with the "
    "sizes that the annotations give; or copies inside the bucket, where both places are in S3.",
)
@reading_options
@policy_options
def convert(
    dataset_dir: str,
    output_dir: str,
    target: str,
    images: str,
    exif: str,
    on_error: str,
    on_warning: str,
    **reading: str,
) -> None:
    """Convert a dataset between COCO and YOLO, losing nothing.

    What YOLO cannot hold goes to a file beside the labels, from which the way back restores it.
    """
    from rfdetr_train.datasets import convert as run
    from rfdetr_train.datasets.findings import Policy
    from rfdetr_train.datasets.model import printable

    policy = Policy.parse(on_error, on_warning)
    choices: dict[str, Any] = {"target": target, "images": images, "exif": exif, **reading}
    made = run(dataset_dir, output_dir, policy=policy, **choices)
    classes = ", ".join(printable(name, 60) for name in made.classes)
    click.echo(f"Wrote {target.upper()} to {output_dir}. Classes: {classes}. Changed: {_counts(made.changes)}.")


@main.command()
@click.argument("prepared_dir", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
def stage(prepared_dir: Path, destination: Path) -> None:
    """Bring the images of a converted dataset to a local folder, in the layout that training reads.

    PREPARED_DIR is what convert --to coco wrote; DESTINATION a folder on a local disk. A second call continues an
    interrupted one and brings only what is missing.
    """
    from rfdetr_train.datasets import stage as run

    click.echo(f"Staged in {run(prepared_dir, destination)}.")


def _counts(changes: Mapping[str, int]) -> str:
    """Return what was changed, in words."""
    return ", ".join(f"{code} {count:,}" for code, count in changes.items()) or "nothing"


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


@main.command(context_settings=_EITHER_SPELLING, epilog=EXIT_CODES)
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


@main.command()
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


if __name__ == "__main__":
    sys.exit(main())
