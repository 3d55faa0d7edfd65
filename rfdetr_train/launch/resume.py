"""Where a training begins: at its own last commit, at a checkpoint that the user named, or at the start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.checkpoints.commit import Commit, link_or_copy, list_commits, read_commit
from rfdetr_train.checkpoints.files import JOURNAL, LATEST, bring_along, checkpoint_files
from rfdetr_train.checkpoints.load import completed_epochs, load
from rfdetr_train.checkpoints.restore import restore
from rfdetr_train.checkpoints.resumable import Wanted, check_resumable
from rfdetr_train.checkpoints.select import Restored, newest_good, newest_local, select
from rfdetr_train.datasets import Prepared
from rfdetr_train.errors import CheckpointError, ParameterError, RfdetrTrainError
from rfdetr_train.files import atomic_replace
from rfdetr_train.launch.run_record import RunRecord
from rfdetr_train.params import Parameters
from rfdetr_train.rfdetr_schema import class_name
from rfdetr_train.storage import Store, open_store
from rfdetr_train.storage.fetch import fetch_file
from rfdetr_train.tracking import journal
from rfdetr_train.tracking.find import Identity, RunState, would_repeat

AUTO = "auto"
_RUN = re.compile(r"runs:/([0-9A-Za-z]+)/?")


@dataclass(frozen=True)
class Plan:
    """What is to be continued, as far as the parameters and the local disk tell.

    Attributes:
        continue_run: MLflow run of the attempt to continue; "" to make or to find one.
        look: Look in MLflow for an unfinished attempt.
        back_to_named: Begin at the checkpoint that is named, although the run may have come further.
    """

    continue_run: str
    look: bool
    back_to_named: bool


@dataclass(frozen=True)
class Start:
    """Where the training begins.

    Attributes:
        checkpoint: In the output folder, for the workers; None for the beginning.
        sequence: Of the newest commit so far.
        restored: The commit, for the publisher; None when there is none.
    """

    checkpoint: Path | None = None
    sequence: int = 0
    restored: Restored | None = None


def plan(parameters: Parameters, identity: Identity, record: RunRecord | None) -> Plan:
    """Decide what is continued.

    Args:
        parameters: Of this start.
        identity: Which training that is.
        record: Of the run whose checkpoints are in the output folder.

    Raises:
        RfdetrTrainError: When that run ended in a way that would repeat itself.
        ParameterError: When the output folder holds another run.
    """
    resume, output_dir = parameters.resume, Path(parameters.output_dir)
    look = resume == AUTO or bool(identity.kfp_run_id)
    own = record if record is not None and record.is_open_to(identity) else None
    if own is not None and (resume in (None, AUTO) or resume == own.parameters.get("resume")):
        _refuse_to_repeat(own, parameters)
        return Plan(own.run_id, look, back_to_named=False)
    if _is_inside(resume, output_dir):
        return Plan(own.run_id if own is not None else "", look=False, back_to_named=True)
    _refuse_another_run(parameters, identity, record)
    return Plan(named_run(resume), look, back_to_named=False)


def check_named_file(parameters: Parameters, prepared: Prepared) -> None:
    """Check a checkpoint that the user named by its path, before a run is opened for it.

    Raises:
        CheckpointError: When the training cannot continue from it.
    """
    if _names_a_path(parameters.resume):
        check_resumable(_file(Path(str(parameters.resume))), wanted(parameters, prepared), same_run=False)


def begin(
    parameters: Parameters, prepared: Prepared, decided: Plan, own: Store | None, foreign: Store | None, work: Path
) -> Start:
    """Bring the output folder to the point from which the training goes on.

    The run's own last commit comes first: a retry with the same ``resume`` goes on and does not begin there again.

    Args:
        parameters: Of this start.
        prepared: The dataset.
        decided: What is continued.
        own: The run's published checkpoints; None while MLflow does not answer.
        foreign: The published checkpoints of another run to begin from; None when none is named.
        work: Scratch folder, best on the disk of the output folder.

    Raises:
        CheckpointError: When that point cannot be continued from, or nothing there is usable.
    """
    output_dir, resume = Path(parameters.output_dir), parameters.resume
    if not decided.back_to_named:
        found = select(output_dir, own, work) if own is not None else newest_local(output_dir)
        if found is not None:
            return _from_commit(found, parameters, prepared, own=True)
    if resume in (None, AUTO):
        return Start()
    if _names_a_path(resume):
        return _from_file(_file(Path(str(resume))), parameters)
    if foreign is not None:
        found = newest_good(foreign, work)
        if found is not None:
            return _from_commit(found, parameters, prepared, own=False)
    if foreign is not None or named_run(resume):
        raise CheckpointError(f"resume: {resume} has no published checkpoints to continue from. Check the address.")
    return _from_fetched(fetch_file(str(resume), work, parameter="resume"), parameters, prepared)


def named_run(resume: str | None) -> str:
    """The id in ``runs:/<id>``; "" when that is not what is given."""
    found = _RUN.fullmatch(resume or "")
    return found.group(1) if found else ""


def named_store(resume: str | None) -> Store | None:
    """The published checkpoints in ``s3://bucket/…/checkpoints``; None when no such folder is given."""
    if resume is None or "://" not in resume or resume.endswith(".pth"):
        return None
    return open_store(resume)


def wanted(parameters: Parameters, prepared: Prepared) -> Wanted:
    """What a checkpoint is compared with."""
    return Wanted(
        model_name=class_name(parameters.model),
        classes=prepared.classes,
        fingerprint=prepared.fingerprint,
        seed=parameters.seed,
        epochs=parameters.epochs,
        batch_size=parameters.batch_size,
        grad_accum_steps=parameters.grad_accum_steps,
        world_size=parameters.world_size,
        early_stopping=parameters.early_stopping,
    )


def _from_commit(found: Restored, parameters: Parameters, prepared: Prepared, *, own: bool) -> Start:
    check_resumable(found.folder / LATEST, wanted(parameters, prepared), same_run=own)
    output_dir = Path(parameters.output_dir)
    commit: Commit = restore(found.folder, output_dir)
    # The publisher would take the objects of another run for its own.
    return Start(output_dir / LATEST, commit.sequence, found if own else None)


def _from_file(path: Path, parameters: Parameters) -> Start:
    output_dir = Path(parameters.output_dir)
    bring_along(path, output_dir)
    # What the metrics of later epochs say is not so any more.
    journal.truncate_after(output_dir / JOURNAL, completed_epochs(load(path, parameter="resume")) or 0)
    newest = list_commits(output_dir)[:1]
    return Start(path.absolute(), read_commit(newest[0]).sequence if newest else 0)


def _from_fetched(path: Path, parameters: Parameters, prepared: Prepared) -> Start:
    check_resumable(path, wanted(parameters, prepared), same_run=False)
    latest = Path(parameters.output_dir) / LATEST
    with atomic_replace(latest) as temporary:
        link_or_copy(path, temporary)
    return Start(latest)


def _file(path: Path) -> Path:
    return path / LATEST if path.is_dir() else path


def _is_inside(resume: str | None, output_dir: Path) -> bool:
    return _names_a_path(resume) and _file(Path(str(resume))).resolve().parent == output_dir.resolve()


def _names_a_path(resume: str | None) -> bool:
    return resume not in (None, AUTO) and "://" not in str(resume) and not named_run(resume)


def _refuse_to_repeat(record: RunRecord, parameters: Parameters) -> None:
    if would_repeat(record.state, same_settings=not record.differences(parameters.as_sent())):
        raise RfdetrTrainError(
            f"output_dir: {parameters.output_dir} holds run {record.run_id}, which ended: {record.state}. With the "
            "same parameters and data it would again. Change them (lr, or batch_size), and choose another output_dir.",
            record.state.exit_code,
        )


def _refuse_another_run(parameters: Parameters, identity: Identity, record: RunRecord | None) -> None:
    """Refuse a folder that holds the checkpoints of another run.

    Raises:
        ParameterError: When it does.
    """
    output_dir = Path(parameters.output_dir)
    held = checkpoint_files(output_dir)
    if not held:
        return
    why = ""
    if record is not None and record.state != RunState.FINISHED:
        other = [] if record.fingerprint == identity.fingerprint else ["the dataset"]
        why = f" It is not continued because of {', '.join([*other, *record.differences(parameters.as_sent())])}."
    raise ParameterError(
        f"output_dir: {output_dir} holds the checkpoints of an earlier run ({held[0].name}, {len(held)} in all).{why} "
        f"Continue that run with resume={output_dir / LATEST}, or choose another output_dir."
    )
