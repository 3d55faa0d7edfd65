"""The way that most trainings save a checkpoint: ``torch.save`` and ``boto3.upload_file``, while the training waits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from rfdetr_train.checkpoints.commit import list_commits
from rfdetr_train.training.callbacks.boundary import StepBoundary
from trainings.recorder import Recorder

INTERVAL, BUCKET = "BENCH_INTERVAL", "BENCH_BUCKET"


class InlineCheckpoints(Callback):
    """Saves and uploads in line, half-way between two of our commits, and records both."""

    def __init__(self, interval: int, bucket: str) -> None:
        """Prepare.

        Args:
            interval: Optimizer steps between two of our commits.
            bucket: Where to upload to.
        """
        import boto3

        self._interval, self._bucket, self._client = interval, bucket, boto3.client("s3")
        self._stall = 0.0

    @classmethod
    def from_environment(cls) -> InlineCheckpoints:
        """Make the one of this rank."""
        return cls(int(os.environ[INTERVAL]), os.environ[BUCKET])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Record what the commit before held, and save in line."""
        if trainer.global_step % self._interval != self._interval // 2:
            return
        recorder = next(each for each in trainer.callbacks if isinstance(each, Recorder))
        boundary = next(each for each in trainer.callbacks if isinstance(each, StepBoundary))
        total = boundary._watch.seconds["checkpoint_stall"]
        stall, self._stall = total - self._stall, total
        folder = Path(trainer.default_root_dir)
        if trainer.global_step > self._interval:
            waited = self._wait_until_published(folder)
            recorder.write(kind="ours", step=trainer.global_step, seconds=stall, waited=waited)
        path, begun = folder / "inline.ckpt", time.perf_counter()
        torch.save(trainer._checkpoint_connector.dump_checkpoint(weights_only=False), path)
        saved = time.perf_counter()
        self._client.upload_file(str(path), self._bucket, "inline.ckpt")
        done = time.perf_counter()
        size = path.stat().st_size
        recorder.write(kind="inline", step=trainer.global_step, save=saved - begun, upload=done - saved, bytes=size)

    def _wait_until_published(self, output_dir: Path) -> float:
        """Wait for the last commit to be in S3, so that one way does not slow the other down; the seconds."""
        begun = time.perf_counter()
        wanted = f"-{list_commits(output_dir)[0].name}.json"
        while not any(wanted in name for name in self._names()):
            time.sleep(0.2)
        return time.perf_counter() - begun

    def _names(self) -> list[str]:
        listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix="mlflow/")
        return [item["Key"] for item in listed.get("Contents", [])]
