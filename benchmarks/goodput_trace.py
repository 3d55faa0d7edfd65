"""What part of its time a training that is killed often spends on steps that count: ours against rfdetr's own.

    .venv/bin/python benchmarks/goodput_trace.py [SEED] [INTERVAL] [INTERVALS]   (default 4 3 80: about ten minutes)

One seeded trace of kills, exponentially distributed with a mean of ten commit intervals, is played to both: ours with
a commit every INTERVAL seconds, and stock rfdetr with its checkpoint of every epoch (last.ckpt), continued by itself
when it is started again. Both train the same tiny model on the same data with the same settings in one process,
are started in the same way, from a process that has everything imported, and lose all their processes by SIGKILL
at the same times of their own clock, in turns. An epoch lasts 20 intervals, as epochs of real trainings are long
compared with the default interval; the trace lasts INTERVALS of them and ends with a kill. With
the default seed rfdetr has the time to finish an epoch; with most others it keeps nothing, and the ratio is infinite.

ETTR = steps in the last usable checkpoint x mean seconds of a step of rfdetr's own / length of the trace. The starts
are long here compared with the interval, which is scaled down by 100. Beside it stands what Daly's formula predicts
from the measured costs of a checkpoint and of a start, at the interval used and at Young's optimum.
Goal: 1.5 times the ETTR of rfdetr.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trainings import daly
from trainings.kills import kill_tree, wait_until_gone
from trainings.preloaded import launch, new_store
from trainings.recorder import ATTEMPT, FOLDER, read
from trainings.setting import draw, print_machine, tiny_arguments
from trainings.stock import steps_in_last

GOAL = 1.5
EPOCH, KILLS = 20, 10  # intervals of an epoch; intervals between two kills
BATCH = 2
FOREVER = 10_000  # epochs


class Side:
    """Ours or rfdetr's own training: its folder, and what its attempts told."""

    def __init__(self, folder: Path, command: list[str], way: str, env: dict[str, str]) -> None:
        """Make the folders."""
        self.folder, self.output = folder, folder / "output"
        self._command, self._way, self._env = command, way, env
        self._attempts: list[tuple[float, list[dict[str, Any]]]] = []
        (folder / "records").mkdir(parents=True)
        new_store(self.output)

    def live(self, seconds: float) -> None:
        """Start, and kill after so many seconds."""
        name = f"{len(self._attempts) + 1:03d}"
        env = {**self._env, FOLDER: str(self.folder / "records"), ATTEMPT: name}
        begun = time.monotonic()
        process = launch(self._command, cwd=self.folder, way=self._way, env=env)
        if wait_until_gone([process.pid], begun + seconds - time.monotonic()):
            sys.exit(f"{self._way} ended by itself: {(self.folder / 'log').read_text()[-3000:]}")
        wait_until_gone(kill_tree(process.pid))
        self._attempts.append((begun, read(self.folder / "records", name)))

    @property
    def restart(self) -> float:
        """Median seconds from a start to the beginning of the training."""
        return statistics.median(events[0]["time"] - begun for begun, events in self._attempts if events)

    def gaps(self, *, between_epochs: bool) -> list[float]:
        """Seconds from the end of a step to the end of the next."""
        found = []
        for _, events in self._attempts:
            batches = [event for event in events if event["kind"] == "batch"]
            pairs = itertools.pairwise(batches)
            found += [b["time"] - a["time"] for a, b in pairs if (a["epoch"] != b["epoch"]) == between_epochs]
        return found


def prepare(scratch: Path, interval: int, images: int) -> tuple[Side, Side]:
    """Both trainings, with the same data and parameters."""
    from rfdetr_train.datasets import convert, stage
    from rfdetr_train.params import parse
    from rfdetr_train.training.job import Job, write_job

    dataset = draw(scratch / f"shapes-{images}", train=images)
    prepared = convert(str(dataset), scratch / f"prepared-{images}", target="coco", images="reference")
    staged = stage(scratch / f"prepared-{images}", scratch / f"staged-{images}")
    sides = []
    for way in ("tiny", "stock"):
        folder = scratch / f"{way}-{images}"
        settings = {"epochs": FOREVER, "batch_size": BATCH, "grad_accum_steps": 1, "checkpoint_every_seconds": interval}
        command = tiny_arguments(dataset, folder / "output", **settings)
        values = dict(argument.removeprefix("--").split("=", 1) for argument in command[1:])
        job_file = folder.with_suffix(".json")
        write_job(Job(parse(values).as_sent(), str(staged), prepared.classes, prepared.fingerprint, 0, ""), job_file)
        sides.append(Side(folder, command, way, {"BENCH_JOB": str(job_file)}))
    return sides[0], sides[1]


def kept_steps(ours: Side, stock: Side) -> tuple[int, int]:
    """Optimizer steps in the newest usable checkpoint of each."""
    from rfdetr_train.checkpoints.commit import list_commits, read_commit

    commits = list_commits(ours.output)
    return read_commit(commits[0]).step if commits else 0, steps_in_last(stock.output)


def main() -> None:
    """Play the trace to both and print the rows."""
    seed, interval, intervals = (int(value) for value in (*sys.argv[1:4], *("4", "3", "80")[len(sys.argv) - 1 :]))
    length, mean, epoch = interval * intervals, interval * KILLS, interval * EPOCH
    dice = random.Random(seed)
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        calibration = prepare(Path(scratch), interval, 40)[1]
        calibration.live(15)
        step = statistics.median(calibration.gaps(between_epochs=False))
        steps_of_epoch = max(round(epoch / step), 5)
        ours, stock = prepare(Path(scratch), interval, steps_of_epoch * BATCH)
        left, kills = float(length), 0
        while left > 0:
            life = min(dice.expovariate(1 / mean), left)
            ours.live(life)
            stock.live(life)
            left, kills = left - life, kills + 1
        report(ours, stock, interval, length, mean, steps_of_epoch, kills, seed)


def report(
    ours: Side, stock: Side, interval: int, length: float, mean: float, steps_of_epoch: int, kills: int, seed: int
) -> None:
    """Print the rows."""
    step, own = (statistics.mean(side.gaps(between_epochs=False)) for side in (stock, ours))
    steps = dict(zip(("ours", "rfdetr"), kept_steps(ours, stock), strict=True))
    ettr = {who: count * step / length for who, count in steps.items()}
    whole = step * steps_of_epoch
    print(
        f"trace: seed {seed}, {length:.0f} s, {kills} kills, one in {mean:.0f} s; a commit every {interval} s, an epoch"
    )
    print(f"of {steps_of_epoch} steps, {whole:.0f} s ({EPOCH * interval} s wanted)")
    print(f"step {step * 1000:.0f} ms rfdetr, {own * 1000:.0f} ms ours with the commits in it")
    print(f"start to training {stock.restart:.1f} s rfdetr, {ours.restart:.1f} s ours")
    # All that our steps take longer, commits and callbacks, counted as the price of the commits.
    cost = max((own - step) * interval / step, 0.001)
    between = statistics.median(stock.gaps(between_epochs=True) or ours.gaps(between_epochs=True) or [0.0])
    share = whole / (whole + between)  # the rest is validation
    predicted = {
        "ours": share * daly.ratio(interval, cost, ours.restart, mean),
        "rfdetr": daly.ratio(whole, between, stock.restart, mean),
    }
    print(f"{'':10}{'steps kept':>12}{'ETTR':>8}{'predicted':>11}")
    for who in ("rfdetr", "ours"):
        print(f"{who:10}{steps[who]:12}{ettr[who]:8.3f}{predicted[who]:11.3f}")
    best = daly.optimal_interval(cost, mean)
    optimum = share * daly.ratio(best, cost, ours.restart, mean)
    ratio = ettr["ours"] / ettr["rfdetr"] if ettr["rfdetr"] else float("inf")  # it finished no epoch
    print(f"ratio: {ratio:.2f} (goal {GOAL}), predicted {predicted['ours'] / predicted['rfdetr']:.2f}")
    print(f"Young/Daly: a commit costs {cost:.3f} s, optimum interval {best:.1f} s, ETTR there {optimum:.3f};")
    print(f"ours reaches {100 * ettr['ours'] / optimum:.0f} % of it")


if __name__ == "__main__":
    main()
