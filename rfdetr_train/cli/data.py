"""The commands about datasets; none of them imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rfdetr_train.datasets import DatasetReport
    from rfdetr_train.datasets.findings import Policy

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


@click.command(epilog=_DATASET)
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


@click.command(epilog=_DATASET)
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


@click.command(epilog=_DATASET + " OUTPUT_DIR is a new folder, written completely or not at all.")
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


@click.command()
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
