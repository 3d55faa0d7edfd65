"""Run the compiled pipeline on this machine: each step a process, MLflow a database in the work folder."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rfdetr_pipelines.compile import PACKAGE
from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.evaluation.files import REPORT_HTML, REPORT_JSON
from rfdetr_train.params import Parameters, parse
from rfdetr_train.status import STATUS_FILE_VARIABLE, recorded
from rfdetr_train.tracking.server import SERVER_VARIABLE, tracking_uri

EVALUATION_STEP = "evaluate-detector"


@dataclass(frozen=True)
class LocalRun:
    """Where a local run left its results.

    Attributes:
        folder: Folder of the run.
        parameters: What was run.
        tracking_uri: MLflow's database or server.
        seconds: Wall time.
    """

    folder: Path
    parameters: Parameters
    tracking_uri: str
    seconds: float

    @property
    def report(self) -> Path:
        """HTML report of the evaluation."""
        return self.folder / REPORT_HTML

    @property
    def evaluation(self) -> Path:
        """JSON report of the evaluation."""
        return self.folder / REPORT_JSON


def run_locally(values: Mapping[str, Any], workdir: Path, package: Path = PACKAGE) -> LocalRun:
    """Run the compiled pipeline with kfp.local.

    Args:
        values: Parameter values; strings are coerced. Without ``output_dir``, the folder of the run gets it.
        workdir: Gets a folder for the run, and the MLflow database that all its runs share.
        package: Compiled pipeline.

    Raises:
        ParameterError: Before anything is started.
        RfdetrTrainError: When a step fails, with the class that the step recorded.
    """
    from kfp import components, local

    folder = workdir.absolute() / time.strftime("run-%Y%m%d-%H%M%S")
    parameters = parse({"output_dir": str(folder / "output"), **values})
    folder.mkdir(parents=True)
    started = time.monotonic()
    with _environment(folder, workdir.absolute()) as server, warnings.catch_warnings():
        # kfp warns that an image without "python" in its name may lack Python; ours is this very environment.
        warnings.simplefilter("ignore")
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(folder / "artifacts"),
            workspace_root=str(folder / "workspace"),
        )
        try:
            components.load_component_from_text(_without_retries(package))(**parameters.as_sent())
        except RuntimeError as error:
            raise _failure(error) from None
    _bring_reports(folder)
    return LocalRun(folder, parameters, server, time.monotonic() - started)


def _without_retries(package: Path) -> str:
    """The compiled pipeline; nothing preempts it here, and who waits at the terminal wants to read why it failed."""
    documents = list(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    for component in documents[0]["components"].values():
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return yaml.safe_dump_all(documents)


def _bring_reports(folder: Path) -> None:
    """Give the reports of the evaluation step a short path and, for the browser, a suffix; KFP's have neither."""
    for artifact, name in (("report", REPORT_HTML), ("evaluation", REPORT_JSON)):
        written = next((folder / "artifacts").glob(f"*/{EVALUATION_STEP}/{artifact}"))
        shutil.copyfile(written, folder / name)


@contextmanager
def _environment(folder: Path, workdir: Path) -> Iterator[str]:
    """Set what a cluster would inject, for the steps, which inherit it."""
    before = dict(os.environ)
    server = os.environ.setdefault(SERVER_VARIABLE, tracking_uri(workdir))
    os.environ[STATUS_FILE_VARIABLE] = str(folder / "failure.json")
    try:
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)


def _failure(error: RuntimeError) -> RfdetrTrainError:
    failure = recorded()
    if failure is None:
        return RfdetrTrainError(f"a step failed without a reason of its own ({error}); see the log above.")
    return RfdetrTrainError(f"step {failure.step}: {failure.message}", failure.exit_code)
