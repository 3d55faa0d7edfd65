"""``rfdetr-pipelines``: compile the pipeline, run it on this machine, watch the demo."""

from __future__ import annotations

from pathlib import Path

import click

from rfdetr_train import __version__
from rfdetr_train.cli import EXIT_CODES, StepGroup

WORKDIR = Path("rfdetr-runs")


@click.group(cls=StepGroup, epilog=EXIT_CODES, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Compile and run the RF-DETR training pipeline."""


@main.command("compile")
@click.option("--output", type=click.Path(path_type=Path), help="YAML file; the one inside the package by default.")
def compile_command(output: Path | None) -> None:
    """Write the compiled pipeline, to be uploaded in the UI or given to `kfp run create`.

    The images are named by RFDETR_PIPELINES_CPU_IMAGE and RFDETR_PIPELINES_GPU_IMAGE in the environment.
    """
    from rfdetr_pipelines.compile import PACKAGE, compile_pipeline

    compile_pipeline(output or PACKAGE)
    click.echo(f"Wrote {output or PACKAGE}")


@main.command()
@click.option("--local", is_flag=True, required=True, help="On this machine, with kfp.local; no cluster is needed.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=WORKDIR,
    show_default=True,
    help="Gets a folder for the run, and the MLflow database.",
)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
def run(local: bool, workdir: Path, parameters: tuple[str, ...]) -> None:
    """Run the compiled pipeline: detect, convert, train, evaluate.

    The parameters are those of `rfdetr-train train`; dataset_dir is required. For example:

        rfdetr-pipelines run --local dataset_dir=./my-dataset model=nano epochs=20
    """
    from rfdetr_pipelines.local import run_locally
    from rfdetr_pipelines.summary import summary

    values = dict(_pair(text) for text in parameters)
    finished = run_locally(values, workdir)
    ran = finished.parameters
    evaluate = f"rfdetr-train evaluate {ran.output_dir} {ran.dataset_dir} --split valid --device {ran.device}"
    click.echo("\n" + summary(finished, evaluate))


@main.command()
@click.option("--workdir", type=click.Path(path_type=Path, file_okay=False), default=Path(".demo"), show_default=True)
def demo(workdir: Path) -> None:
    """Draw a small dataset and run the whole pipeline on it, on the CPU, in a few minutes."""
    from rfdetr_pipelines.demo import run_demo
    from rfdetr_pipelines.summary import summary

    finished = run_demo(workdir)
    yours = "rfdetr-pipelines run --local dataset_dir=/path/to/your/dataset model=medium"
    click.echo("\nThe demo has trained and evaluated a detector.\n\n" + summary(finished, yours))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is not NAME=VALUE; for example epochs=20.")
    return name.replace("-", "_"), value


if __name__ == "__main__":
    main()
