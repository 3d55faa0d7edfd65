"""A seeded campaign of kills: is anything ever wrong in the end, is a sample ever seen twice or left out?

    .venv/bin/python benchmarks/faults.py [KILLS] [SEED]          (50 kills take about ten minutes on two cores)

Each round is one training of a tiny detector, in turn with one process and with two. Its processes are killed at
random moments, of the start-up, the steps, the validation and the publishing, in random ways, and the same command is
started again until the training is done. Then everything that it left is compared with an uninterrupted training:
every tensor of every checkpoint (model, EMA, optimizer), the scheduler, counters, metrics.csv, the journal, and what
was published. The ranks write down every batch with the keys of its samples, so that those are counted that came twice
or not at all in the steps that are in the final model. Exits with 1 when anything is wrong.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from trainings.comparison import differences
from trainings.kills import family, kill, kill_tree, ranks, wait_until_gone
from trainings.preloaded import launch, new_store
from trainings.recorder import ATTEMPT, FOLDER, read
from trainings.samples import Seen, check_samples
from trainings.setting import draw, print_machine, tiny_arguments

KINDS = ("all ranks", "one rank", "launcher alone", "whole tree", "SIGTERM, then SIGKILL")
IMAGES, EPOCHS = 28, 3
RUNS = "MLflow runs"
Kills = Counter[tuple[str, str]]  # way and phase
PATIENCE = 180  # seconds; a training that takes longer hangs
WORLDS = {1: {"batch_size": 2, "grad_accum_steps": 2}, 2: {"batch_size": 2, "grad_accum_steps": 1, "gpus_per_node": 2}}


@dataclass
class Training:
    """A training of one round: its folder, and the attempts so far."""

    folder: Path
    dataset: Path
    world: int
    attempts: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folders."""
        self.output.mkdir(parents=True)
        self.records.mkdir()
        new_store(self.output)

    @property
    def output(self) -> Path:
        """Output folder."""
        return self.folder / "output"

    @property
    def records(self) -> Path:
        """Where the ranks write down what they do."""
        return self.folder / "records"

    def start(self) -> Attempt:
        """Run the command, again."""
        self.attempts += 1
        return Attempt(self)


class Attempt:
    """A start of a training."""

    def __init__(self, training: Training) -> None:
        """Start."""
        self._training = training
        self._name = f"{training.attempts:03d}"
        command = tiny_arguments(
            training.dataset, training.output, epochs=EPOCHS, checkpoint_every_steps=2, checkpoint_interval=2,
            **WORLDS[training.world],
        )  # fmt: skip
        env = {FOLDER: str(training.records), ATTEMPT: self._name}
        self.process = launch(command, cwd=training.folder, way="tiny_with_samples", env=env)
        self.begun = time.monotonic()
        self.known: set[int] = set()

    @property
    def phase(self) -> str:
        """How far it has come."""
        events = read(self._training.records, self._name)
        names = {"start": "steps", "batch": "steps", "validation": "validation", "end": "publishing"}
        return names[events[-1]["kind"]] if events else "start-up"

    def ended_before(self, moment: float) -> int | None:
        """Wait until a moment; the status when it ended earlier."""
        gone = wait_until_gone([self.process.pid], moment - time.monotonic())
        return self.process.wait() if gone else None

    def kill(self, kind: str, dice: random.Random) -> str:
        """Kill in one way, wait until nothing of it is left, and say what could be killed."""
        self.known |= set(family(self.process.pid))
        trainers = ranks(self.process.pid)
        if kind == "SIGTERM, then SIGKILL":
            kill([self.process.pid], signal.SIGTERM)
            if self.ended_before(time.monotonic() + dice.uniform(0, 2)) is None:
                self.known |= set(kill_tree(self.process.pid))
        elif kind == "launcher alone":
            kill([self.process.pid])
        elif kind == "whole tree" or not trainers:
            kind = "whole tree"
            self.known |= set(kill_tree(self.process.pid))
        else:
            kill(trainers if kind == "all ranks" else [dice.choice(trainers)])
        return kind

    def end(self) -> int | None:
        """Status, when it and everything that it started have ended; None when it does not end."""
        status = self.ended_before(time.monotonic() + PATIENCE)
        if status is None:
            kill_tree(self.process.pid)
            return None
        return status if wait_until_gone(list(self.known)) else None


def reference(folder: Path, dataset: Path, world: int) -> tuple[Training, float, float]:
    """An uninterrupted training; the seconds to its first step, and in all."""
    training = Training(folder, dataset, world)
    attempt = training.start()
    if attempt.end() != 0:
        sys.exit(f"the uninterrupted training failed: {(folder / 'log').read_text()[-2000:]}")
    total = time.monotonic() - attempt.begun
    return training, read(training.records, "001")[0]["time"] - attempt.begun, total


def run_round(training: Training, timing: tuple[float, float], kills: int, dice: random.Random) -> Kills:
    """Train to the end with at most so many kills; returns (way, phase) of each."""
    from rfdetr_train.launch.run_record import read_run_record
    from rfdetr_train.tracking.find import RunState

    done: Kills = Counter()
    first_step, total = timing
    while True:
        attempt = training.start()
        if sum(done.values()) == kills:
            status = attempt.end()
        else:
            # Half of them after the start-up, which is the longer part of so short a training.
            earliest = dice.choice([0.0, first_step])
            status = attempt.ended_before(attempt.begun + dice.uniform(earliest, total))
        if status is not None or sum(done.values()) == kills:
            if status != 0:
                training.problems.append(f"attempt {training.attempts} ended with {status}, nobody had killed it")
            return done
        phase = attempt.phase
        kind = attempt.kill(dice.choice(KINDS), dice)
        done[kind, phase] += 1
        if attempt.end() is None:
            training.problems.append(f"attempt {training.attempts} did not end after the kill of {kind}")
            return done
        record = read_run_record(training.output)
        if record is not None and record.state == RunState.FINISHED:
            return done  # the kill came after the end of the training: there is nothing to start again


def check(training: Training, expected: Training) -> Seen:
    """Compare a training with the uninterrupted one."""
    from mlflow import MlflowClient

    from rfdetr_train.checkpoints.select import newest_good
    from rfdetr_train.files import digest
    from rfdetr_train.tracking.artifacts import open_artifacts

    training.problems += differences(expected.output, training.output)
    seen = check_samples(training.records, training.attempts, expected.records, training.world)
    training.problems += seen.problems
    uri = f"sqlite:///{training.output}/mlflow.db"
    client = MlflowClient(uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    if [run.info.status for run in runs] != ["FINISHED"]:
        training.problems.append(f"{RUNS}: {[run.info.status for run in runs]}")
        return seen
    steps = [metric.step for metric in client.get_metric_history(runs[0].info.run_id, "train/loss")]
    if steps != list(range(1, EPOCHS + 1)):
        training.problems.append(f"epochs of train/loss in MLflow: {steps}")
    with tempfile.TemporaryDirectory() as work:
        published = newest_good(open_artifacts(uri, runs[0].info.run_id), Path(work))
        paths = [folder / "checkpoint.pth" for folder in (published.folder, training.output)] if published else []
        if len({digest(path) for path in paths}) != 1:
            training.problems.append("the published checkpoint is not the final one")
    return seen


def main() -> int:
    """Run rounds until there were enough kills; the status."""
    wanted, seed = (int(value) for value in (*sys.argv[1:3], *("50", "0")[len(sys.argv) - 1 :]))
    dice, begun = random.Random(seed), time.monotonic()
    print_machine()
    done: Kills = Counter()
    seen, trainings = Seen(), []
    with tempfile.TemporaryDirectory() as scratch:
        dataset = draw(Path(scratch) / "shapes", train=IMAGES)
        references = {world: reference(Path(scratch) / f"reference-{world}", dataset, world) for world in WORLDS}
        while sum(done.values()) < wanted:
            number = len(trainings) + 1
            training = Training(Path(scratch) / f"round-{number}", dataset, 1 + number % 2)
            trainings.append(training)
            expected, *timing = references[training.world]
            kills = run_round(training, (timing[0], timing[1]), wanted - sum(done.values()), dice)
            done += kills
            seen += check(training, expected)
            tell(number, training, kills)
    print(f"seed {seed}: {time.monotonic() - begun:.0f} s")
    return report(done, seen, trainings)


def tell(number: int, training: Training, kills: Kills) -> None:
    """Print what a round was."""
    told = ", ".join(f"{kind} ({phase})" for kind, phase in kills.elements()) or "none"
    print(f"round {number}, world size {training.world}: {training.attempts} attempts; kills: {told}", flush=True)
    for problem in training.problems:
        print(f"  WRONG: {problem}", flush=True)
    if training.problems:
        print("\n".join((training.folder / "log").read_text().splitlines()[-20:]))


def report(done: Kills, seen: Seen, trainings: list[Training]) -> int:
    """Print what came out; the status."""
    wrong = sum(bool(training.problems) for training in trainings)
    not_one_run = sum(any(RUNS in problem for problem in training.problems) for training in trainings)
    attempts = sum(training.attempts for training in trainings)
    phases = ("start-up", "steps", "validation", "publishing")
    print(f"{'kills':24}" + "".join(f"{phase:>12}" for phase in phases))
    for kind in KINDS:
        print(f"{kind:24}" + "".join(f"{done[kind, phase]:12}" for phase in phases))
    print(f"{sum(done.values())} kills, {len(trainings)} trainings, {attempts} attempts")
    print(f"steps done again, after the last commit: {seen.lost_steps}; samples compared: {seen.samples}")
    print(
        f"wrong results: {wrong} (goal 0); after the last commit, repeated samples: {seen.repeated} (goal 0), "
        f"skipped samples: {seen.skipped} (goal 0)"
    )
    print(f"trainings without exactly one MLflow run: {not_one_run} (goal 0)")
    return int(bool(wrong or seen.repeated or seen.skipped))


if __name__ == "__main__":
    sys.exit(main())
