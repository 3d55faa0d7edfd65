"""What each rank runs: ``torchrun --nproc-per-node=N -m rfdetr_train.training.worker JOB.json``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.params import Parameters
from rfdetr_train.training.device import check_device
from rfdetr_train.training.job import Job, Outcome, read_job, write_outcome

if TYPE_CHECKING:
    from pytorch_lightning import Callback, Trainer
    from rfdetr.training import RFDETRModelModule


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


def train(job: Job, world: World) -> int:
    """Train to the end.

    Returns:
        The number of completed epochs.
    """
    import pytorch_lightning as pl
    from rfdetr.training import RFDETRDataModule, RFDETRModelModule

    from rfdetr_train.training.configs import build_configs

    parameters = job.parsed_parameters()
    check_device(parameters.device, world.local_size)
    # Before construction: rfdetr seeds only in on_fit_start, after the head was initialised, and the ranks and
    # attempts of one run would start from different weights.
    pl.seed_everything(parameters.seed, workers=True)
    model_config, train_config = build_configs(
        parameters,
        dataset_dir=Path(job.dataset_dir),
        num_classes=len(job.classes),
        devices=world.local_size,
        num_nodes=world.nodes,
    )
    module = RFDETRModelModule(model_config, train_config)
    trainer = build_trainer(job, parameters, module)
    if trainer.world_size != world.size:
        raise InfrastructureError(f"torchrun started {world.size} processes, but Lightning sees {trainer.world_size}.")
    if world.rank == 0:
        print(f"training on {parameters.device}, world size {world.size}", flush=True)
    data = RFDETRDataModule(model_config, train_config)
    trainer.fit(module, datamodule=data, ckpt_path=parameters.resume, weights_only=True)
    return trainer.current_epoch


def build_trainer(job: Job, parameters: Parameters, module: RFDETRModelModule) -> Trainer:
    """Build rfdetr's trainer, with our checkpoint files, tracking and progress."""
    from rfdetr.training import build_trainer as build

    from rfdetr_train.tracking.run import TrackedRun
    from rfdetr_train.training.callbacks.checkpoints import replace_checkpoint_callbacks
    from rfdetr_train.training.callbacks.progress import Progress
    from rfdetr_train.training.callbacks.tracking import EpochMetrics

    trainer = build(module.train_config, module.model_config, enable_model_summary=False)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(Progress(parameters.batch_size * trainer.world_size))
    replace_checkpoint_callbacks(trainer, Path(parameters.output_dir), parameters.checkpoint_interval)
    callbacks.append(EpochMetrics(TrackedRun(job.run_id, job.tracking_uri, owned=False)))
    return trainer


def _run(job: Job, world: World) -> Outcome:
    import torch

    try:
        epochs = train(job, world)
    except RfdetrTrainError as error:
        return Outcome(error.exit_code, str(error))
    except torch.OutOfMemoryError as error:
        parameters = job.parsed_parameters()
        message = (
            f"batch_size: {parameters.batch_size} does not fit in the memory of the device ({str(error)[:200]}). "
            f"The same effective batch with less memory: batch_size={max(1, parameters.batch_size // 2)} "
            f"grad_accum_steps={parameters.grad_accum_steps * 2}, or gradient_checkpointing=true."
        )
        return Outcome(ExitCode.OUT_OF_MEMORY, message)
    return Outcome(ExitCode.DONE, "done", epochs)


def main() -> None:
    """Run one rank and leave its outcome for the launcher."""
    job = read_job(Path(sys.argv[1]))
    try:
        world = World.from_environment()
        outcome = _run(job, world)
    except Exception as error:
        write_outcome(
            Outcome(ExitCode.INFRASTRUCTURE, f"a training process failed: {type(error).__name__}: {str(error)[:500]}"),
            Path(job.outcome_file),
        )
        raise
    if outcome.exit_code != ExitCode.DONE or world.rank == 0:
        write_outcome(outcome, Path(job.outcome_file))
    sys.exit(outcome.exit_code)


if __name__ == "__main__":
    main()
