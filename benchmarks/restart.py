"""From the start of the command to the first optimizer step: after a kill, against a start from nothing.

    .venv/bin/python benchmarks/restart.py [REPEATS] [nano|tiny]    (3 repeats take about twelve minutes on two cores)

Real processes, with all their imports: ``rfdetr-train train``, torchrun and one rank, which train the nano model
(random weights, a state of about 480 MB) or, with ``tiny``, one of 4 MB. The training was killed by SIGKILL, all
processes at once, after its commits at 10 % and at 90 % of its first epoch; what it left on the disk is put back
before each repeat, and the same command is run again. Cold is the same command with an empty output folder. The
database of MLflow has its tables in each case, as a server would. Shown are the medians of interleaved repeats.
Goals: a restart at most 1.25 times a cold start, one at 90 % at most 1.05 times one at 10 %.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainings.kills import is_alive, kill_tree, wait_until_gone
from trainings.preloaded import BENCHMARKS, launch, new_store
from trainings.recorder import ATTEMPT, FOLDER, HOLD, read
from trainings.setting import SUPPORT, arguments, draw, own_environment, print_machine, tiny_arguments

GOAL, GOAL_POSITION = 1.25, 1.05
STEPS, BATCH = 60, 4  # of the epoch
COLD, EARLY, LATE = "cold", "at 10 %", "at 90 %"
BEGIN_AT = {COLD: 0, EARLY: STEPS // 10, LATE: STEPS * 9 // 10}
CODE = """
from rfdetr_train.launch import torchrun
torchrun.WORKER = "trainings.worker"
from rfdetr_train.cli import main
main()
"""


class Bench:
    """The folders and the command."""

    def __init__(self, folder: Path, model: str) -> None:
        """Draw the data.

        Args:
            folder: Scratch folder.
            model: ``nano`` or ``tiny``.
        """
        self.folder, self.output, self.way = folder, folder / "output", model
        self._saved = folder / "saved"
        self._starts = 0
        (folder / "records").mkdir()
        dataset = draw(folder / "shapes", train=STEPS * BATCH)
        self.command = (tiny_arguments if model == "tiny" else arguments)(
            dataset,
            self.output,
            epochs=2,
            batch_size=BATCH,
            grad_accum_steps=1,
            checkpoint_every_steps=STEPS // 10,
        )

    def prepare(self) -> None:
        """Keep what a killed training leaves at each place."""
        new_store(self.output)
        shutil.copytree(self.output, self._saved / COLD)
        for place in (EARLY, LATE):
            process = launch(self.command, cwd=self.folder, way=self.way, env=self._next(hold_after=BEGIN_AT[place]))
            while self._committed() < BEGIN_AT[place]:
                if not is_alive(process.pid):
                    sys.exit(f"the training failed: {(self.folder / 'log').read_text()[-3000:]}")
                time.sleep(0.1)
            wait_until_gone(kill_tree(process.pid))
            shutil.copytree(self.output, self._saved / place)

    def measure(self, place: str) -> float:
        """Seconds from the start of the command to its first optimizer step."""
        shutil.rmtree(self.output)
        shutil.copytree(self._saved / place, self.output)
        os.sync()  # or the disk is still busy with the copy
        paths = os.pathsep.join([str(BENCHMARKS), str(SUPPORT)])
        env = {**own_environment(), **self._next(), "PYTHONPATH": paths, "BENCH_WAY": self.way, "OMP_NUM_THREADS": "1"}
        with (self.folder / "log").open("w") as log:
            begun = time.monotonic()
            command = [sys.executable, "-W", "ignore", "-c", CODE, *self.command]
            process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)
        events = []
        while not any(event["kind"] == "batch" for event in events):
            if process.poll() is not None:
                sys.exit(f"the training failed: {(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.05)
            events = read(self.folder / "records", f"{self._starts:03d}")
        wait_until_gone(kill_tree(process.pid))
        process.wait()
        if events[0]["step"] != BEGIN_AT[place]:
            sys.exit(f"{place}: the training began at step {events[0]['step']}, {BEGIN_AT[place]} wanted")
        return float(next(event["time"] for event in events if event["kind"] == "batch") - begun)

    def _next(self, hold_after: int = 0) -> dict[str, str]:
        self._starts += 1
        return {FOLDER: str(self.folder / "records"), ATTEMPT: f"{self._starts:03d}", HOLD: str(hold_after)}

    def _committed(self) -> int:
        from rfdetr_train.checkpoints.commit import list_commits, read_commit

        newest = list_commits(self.output)[:1]
        return read_commit(newest[0]).step if newest else 0


def main() -> None:
    """Measure all, interleaved, and print the rows."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    model = sys.argv[2] if len(sys.argv) > 2 else "nano"
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), model)
        bench.prepare()
        places = list(BEGIN_AT)
        # Each begins a round in its turn: the disk is busier after a start from a large state.
        orders = [places[i % 3 :] + places[: i % 3] for i in range(repeats)]
        runs = [{place: bench.measure(place) for place in order} for order in orders]
    seconds = {place: statistics.median(run[place] for run in runs) for place in BEGIN_AT}
    print(f"{model}, epoch of {STEPS} steps, {repeats} repeats, median seconds from the command to the first step")
    for place in BEGIN_AT:
        print(f"{place:10}{seconds[place]:8.1f}   each: {', '.join(f'{run[place]:.1f}' for run in runs)}")
    print(f"restart at 10 % / cold: {seconds[EARLY] / seconds[COLD]:.2f} (goal {GOAL})")
    print(f"restart at 90 % / cold: {seconds[LATE] / seconds[COLD]:.2f} (goal {GOAL})")
    print(f"restart at 90 % / at 10 %: {seconds[LATE] / seconds[EARLY]:.2f} (goal {GOAL_POSITION})")


if __name__ == "__main__":
    main()
