"""What each rank runs: ``torchrun --nproc-per-node=N -m rfdetr_train.training.worker JOB.json``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.errors import ExitCode, InfrastructureError, Preempted, RfdetrTrainError
from rfdetr_train.lifeline import die_with_parent
from rfdetr_train.training.device import check_device
from rfdetr_train.training.failures import killed_loader, out_of_memory, shared_memory_too_small
from rfdetr_train.training.job import Job, Outcome, read_job, write_outcome
from rfdetr_train.training.signals import StopSignal


@dataclass(frozen=True)
class World:
    """The processes of this training, as torchrun announces them."""

    rank: int
    size: int
    local_size: int

    @classmethod
    def from_environment(cls) -> World:
        """Read torchrun's variables.

        Raises:
            InfrastructureError: When the process was not started by torchrun.
        """
        try:
            return cls(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
        except KeyError as missing:
            raise InfrastructureError(
                f"the training worker found no {missing.args[0]} in its environment; it is started by torchrun. "
                "Use `rfdetr-train train`."
            ) from None

    @property
    def nodes(self) -> int:
        """Nodes; all have the same number of processes."""
        return self.size // self.local_size


def train(job: Job, world: World, stop: StopSignal) -> int:
    """Train to the end.

    Returns:
        The number of completed epochs.
    """
    import pytorch_lightning as pl
    from rfdetr.training import RFDETRModelModule

    from rfdetr_train.training.assembly import Assembly
    from rfdetr_train.training.configs import build_configs
    from rfdetr_train.training.data import ExactDataModule

    parameters = job.parsed_parameters()
    check_device(parameters.device, world.local_size)
    # Before construction: rfdetr seeds only in on_fit_start, after the head was initialised, and the ranks and
    # attempts of one run would start from different weights.
    pl.seed_everything(parameters.seed, workers=True)
    configs = build_configs(
        parameters,
        dataset_dir=Path(job.dataset_dir),
        num_classes=len(job.classes),
        devices=world.local_size,
        num_nodes=world.nodes,
    )
    module = RFDETRModelModule(*configs)
    assembly = Assembly(job, parameters, world, module, stop)
    if assembly.trainer.world_size != world.size:
        raise InfrastructureError(
            f"torchrun started {world.size} processes, but Lightning sees {assembly.trainer.world_size}."
        )
    if world.rank == 0:
        print(f"training on {parameters.device}, world size {world.size}", flush=True)
    data = ExactDataModule(*configs, assembly.start)
    try:
        assembly.trainer.fit(module, datamodule=data, ckpt_path=parameters.resume, weights_only=True)
    finally:
        assembly.watchdog.close()
    return assembly.trainer.current_epoch


def _run(job: Job, world: World, stop: StopSignal) -> Outcome:
    import torch

    try:
        epochs = train(job, world, stop)
    except RfdetrTrainError as error:
        return Outcome(error.exit_code, str(error))
    except torch.OutOfMemoryError as error:
        return Outcome(ExitCode.OUT_OF_MEMORY, out_of_memory(job.parsed_parameters(), error))
    except Exception as error:
        cause = killed_loader(error)
        if cause is None:
            raise
        return Outcome(ExitCode.INFRASTRUCTURE, shared_memory_too_small(job.parsed_parameters(), cause))
    return Outcome(ExitCode.DONE, "done", epochs)


def main() -> None:
    """Run one rank and leave its outcome for the launcher."""
    die_with_parent()
    job = read_job(Path(sys.argv[1]))
    try:
        outcome = _started(job)
    except Exception as error:
        write_outcome(
            Outcome(ExitCode.INFRASTRUCTURE, f"a training process failed: {type(error).__name__}: {str(error)[:500]}"),
            Path(job.outcome_file),
        )
        raise
    if outcome.exit_code != ExitCode.DONE or os.environ["RANK"] == "0":
        write_outcome(outcome, Path(job.outcome_file))
    sys.stdout.flush()
    sys.exit(outcome.exit_code)


def _started(job: Job) -> Outcome:
    try:
        stop = StopSignal()  # before the long imports, in which a signal may come as well
        return _run(job, World.from_environment(), stop)
    except Preempted as error:
        return Outcome(error.exit_code, str(error))


if __name__ == "__main__":
    main()
