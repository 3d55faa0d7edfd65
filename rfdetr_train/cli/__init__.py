"""``rfdetr-train``: the library on the command line. Every command ends with the exit code of its class."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from rfdetr_train import __version__
from rfdetr_train.errors import ExitCode

EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."

COMMANDS = {
    "detect": ("data", "Name the format, splits and classes of a labelled dataset."),
    "inspect": ("data", "Check everything about a dataset, or write a copy that is right."),
    "convert": ("data", "Convert a dataset between COCO and YOLO, losing nothing."),
    "stage": ("data", "Bring the images of a converted dataset to a local folder."),
    "train": ("training", "Train a detector."),
    "evaluate": ("training", "Score a checkpoint."),
}
"""Command -> module that has it, and what it does; so that --help need not import what only some commands need."""


class StepGroup(click.Group):
    """A group whose commands end with the exit code of their failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command inside ``status.step``."""
        from rfdetr_train import status

        with status.step(ctx.info_name or "rfdetr-train"):
            return super().invoke(ctx)


class _Commands(StepGroup):
    """The commands of ``COMMANDS``, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None where there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, epilog=EXIT_CODES, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Train, evaluate and inspect RF-DETR detectors and their datasets."""
