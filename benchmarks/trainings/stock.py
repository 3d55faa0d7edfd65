"""rfdetr's own training with its own epoch checkpoints, continued from ``last.ckpt`` when that is there."""

from __future__ import annotations

import pickle
from pathlib import Path

LAST = "last.ckpt"


def train(job_file: Path) -> None:
    """Train; started again after a kill, it continues at the last finished epoch.

    Args:
        job_file: A job as our own ranks get it, so that model, data and settings are the same.
    """
    from rfdetr.training import RFDETRDataModule, RFDETRModelModule, build_trainer

    from rfdetr_train.training.configs import build_configs
    from rfdetr_train.training.job import read_job
    from trainings.recorder import Recorder

    job = read_job(job_file)
    parameters = job.parsed_parameters()
    configs = build_configs(
        parameters, dataset_dir=Path(job.dataset_dir), num_classes=len(job.classes), devices=1, num_nodes=1
    )
    module, data = RFDETRModelModule(*configs), RFDETRDataModule(*configs)
    trainer = build_trainer(module.train_config, module.model_config, enable_model_summary=False)
    trainer.callbacks.append(Recorder.from_environment())
    output_dir = Path(parameters.output_dir)
    last = str(output_dir / LAST) if steps_in_last(output_dir) else None
    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)


def steps_in_last(output_dir: Path) -> int:
    """Optimizer steps in ``last.ckpt``; 0 when there is none, or one that was cut off by a kill."""
    import torch

    try:
        return int(torch.load(output_dir / LAST, weights_only=True, map_location="cpu")["global_step"])
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return 0
