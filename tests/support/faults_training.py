"""A small training that is started as often as a test wants, held, told to stop or killed; and what it left."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import zygote
from mlflow import MlflowClient
from mlflow_server import new_store
from tiny_encoder import MODEL_ARGUMENTS

from rfdetr_train.checkpoints.commit import Commit, list_commits, read_commit, verify_commit
from rfdetr_train.checkpoints.files import JOURNAL, LATEST, METRICS
from rfdetr_train.checkpoints.load import load
from rfdetr_train.tracking import journal

AUGMENTED = {**MODEL_ARGUMENTS, "multi_scale": "per-batch", "scale_jitter": True}


class Place(NamedTuple):
    """Where in the data of a run a sample stands."""

    epoch: int
    position: int


class Training:
    """One training and its attempts: always the same command, unless a test changes it."""

    def __init__(self, folder: Path, dataset: Path, **parameters: Any) -> None:
        """Prepare; ``parameters`` are those of the command line."""
        self.folder = folder
        self.output = folder / "output"
        self.output.mkdir(parents=True)
        new_store(self.output)
        self.parameters = {
            "dataset_dir": str(dataset),
            "output_dir": str(self.output),
            "model": "nano",
            "pretrain_weights": "none",
            "device": "cpu",
            "resolution": 64,
            "batch_size": 2,
            "num_workers": 0,
            "tensorboard": False,
            "lr": 5e-4,
            "lr_encoder": 5e-4,
            "checkpoint_every_steps": 2,
            "extra_train_args": MODEL_ARGUMENTS,
            **parameters,
        }
        self.attempts: list[Attempt] = []

    def start(self, *patches: zygote.Patch, env: dict[str, str] | None = None, **changes: Any) -> Attempt:
        """Start the command.

        Args:
            patches: See :mod:`zygote_patches`; "FOLDER" among the arguments is the folder of the attempt.
            env: Variables to add.
            changes: Parameters with another value than that of the training.
        """
        folder = self.folder / f"attempt-{len(self.attempts) + 1}"
        folder.mkdir()
        values = {**self.parameters, **changes}
        flags = [f"--{name}={json.dumps(v) if isinstance(v, dict) else v}" for name, v in values.items()]
        all_patches = [("log_samples", "FOLDER", 0), *patches]
        launched = zygote.launch(
            ["train", *flags],
            cwd=folder,
            log=folder / "log",
            env=env,
            patches=[[str(folder) if a == "FOLDER" else a for a in patch] for patch in all_patches],
        )
        self.attempts.append(Attempt(self, folder, launched))
        return self.attempts[-1]

    def run(self, *patches: zygote.Patch, **arguments: Any) -> int:
        """Start the command and wait for its exit code."""
        return self.start(*patches, **arguments).wait()

    def newest(self) -> Commit | None:
        """The newest commit, after all its files were verified and loaded; None when there is none."""
        folders = list_commits(self.output)
        if not folders:
            return None
        commit = read_commit(folders[0])
        verify_commit(folders[0], commit)
        for entry in commit.files:
            if entry.name.endswith(".pth"):
                load(folders[0] / entry.name, parameter="test")
        return commit

    def state(self) -> dict[str, Any]:
        """What ``checkpoint.pth`` holds."""
        return load(self.output / LATEST, parameter="test")

    def journal(self) -> list[journal.Record]:
        """The metrics of the epochs."""
        return journal.read(self.output / JOURNAL)

    def mlflow(self) -> MlflowClient:
        """A client for the tracking database of the training."""
        return MlflowClient(tracking_uri=f"sqlite:///{self.output}/mlflow.db")

    def runs(self) -> list[Any]:
        """All MLflow runs that there are."""
        return list(self.mlflow().search_runs([each.experiment_id for each in self.mlflow().search_experiments()]))

    def kill_what_is_left(self) -> None:
        """End what a failed test left behind."""
        for attempt in self.attempts:
            attempt.launched.kill_all()


class Attempt:
    """One start of the command."""

    def __init__(self, training: Training, folder: Path, launched: zygote.Launched) -> None:
        """Take the parts together."""
        self.training = training
        self.folder = folder
        self.launched = launched

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text(errors="replace")

    def wait(self, timeout: float = 120) -> int:
        """Wait for its exit code."""
        return self.launched.wait(timeout)

    def held(self) -> Attempt:
        """Wait until it has come to the place at which it is held."""
        self._until((self.folder / "held").exists, "reach the place at which it is held")
        return self

    def committed(self, step: int) -> Attempt:
        """Wait for the commit of an optimizer step."""

        def there() -> bool:
            folders = list_commits(self.training.output)
            return bool(folders) and read_commit(folders[0]).step >= step

        self._until(there, f"commit step {step}")
        return self

    def go(self) -> None:
        """Let it go on."""
        (self.folder / "go").touch()

    def terminate(self) -> None:
        """Tell the launcher to stop, as the kubelet does."""
        self.launched.send(signal.SIGTERM)

    def kill_ranks(self, *ranks: int) -> None:
        """Kill training processes, all of them unless some are named."""
        for rank, pid in enumerate(self.launched.ranks()):
            if rank in ranks or not ranks:
                zygote.kill(pid)

    def samples(self) -> dict[Place, int]:
        """The image at each place that was loaded for training, over all ranks; no place comes twice."""
        lines = [line.split() for file in self.folder.glob("samples-of-rank-*") for line in file.open()]
        counted = Counter(Place(int(epoch), int(position)) for epoch, position, _ in lines)
        assert max(counted.values(), default=1) == 1, f"loaded twice: {counted.most_common(5)}"
        return {Place(int(epoch), int(position)): int(image) for epoch, position, image in lines}

    def _until(self, condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            ended = not zygote.is_alive(self.launched.pid)
            assert not ended and time.monotonic() < deadline, f"it did not {what}:\n{self.log[-3000:]}"
            time.sleep(0.005)


def place_of(commit: Commit) -> Place:
    """Where the training continues from a commit."""
    return Place(commit.epoch, commit.position)


def assert_no_sample_is_lost(
    parts: Iterable[tuple[Attempt, tuple[tuple[int, int], tuple[int, int]]]], wanted: dict[Place, int]
) -> None:
    """Compare what the attempts trained on with an uninterrupted training.

    Args:
        parts: Each attempt with the places of the commits that it began with and that it left.
        wanted: The images of the uninterrupted training.
    """
    trained: dict[Place, int] = {}
    for attempt, (first, last) in parts:
        loaded = attempt.samples()  # with those that were loaded ahead and came to nothing
        assert min(loaded, default=first) >= first
        trained |= {place: image for place, image in loaded.items() if place < last}
    assert trained == wanted


def assert_same_result(found: Training, wanted: Training) -> None:
    """Compare every checkpoint tensor by tensor, and the metrics of every epoch; the largest difference is 0.0."""
    names = sorted(path.name for path in wanted.output.glob("*.pth"))
    assert sorted(path.name for path in found.output.glob("*.pth")) == names
    for name in names:
        held, other = (load(training.output / name, parameter="test") for training in (found, wanted))
        assert {"state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops"} <= set(held) or name != LATEST
        assert list(differences(_without_paths(held), _without_paths(other), name)) == []
    assert (found.output / METRICS).read_text() == (wanted.output / METRICS).read_text()
    records = [[(record.step, record.metrics) for record in training.journal()] for training in (found, wanted)]
    assert records[0] == records[1]


_PATHS = {"output_dir", "dataset_dir", "resume", "dirpath", "best_model_path", "kth_best_model_path", "best_k_models"}


def _without_paths(value: Any) -> Any:
    """Leave out where files lie, which differs between two runs and two attempts."""
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items() if key not in _PATHS}
    return value


def differences(found: Any, wanted: Any, where: str) -> Iterable[str]:
    """Every place at which two states differ, in whatever way."""
    if isinstance(found, torch.Tensor) and isinstance(wanted, torch.Tensor):
        if found.shape != wanted.shape or found.dtype != wanted.dtype or not torch.equal(found, wanted):
            yield f"{where}: {found.flatten()[:4]} != {wanted.flatten()[:4]}"
    elif isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        for key, value in found.items():
            yield from differences(value, wanted[key], f"{where}/{key}")
    elif isinstance(found, list | tuple) and isinstance(wanted, list | tuple) and len(found) == len(wanted):
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(one, other, f"{where}/{index}")
    elif found != wanted and not (_is_nan(found) and _is_nan(wanted)):
        yield f"{where}: {str(found)[:200]} != {str(wanted)[:200]}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
