"""Faults 1, 2, 3, 8, 9 and 26 with two processes: both or one killed, told to stop, continued by one and by two."""

import time
from itertools import pairwise

import pytest
import zygote
from faults_training import assert_no_sample_is_lost, assert_same_result, place_of

from rfdetr_train.errors import ExitCode

STEPS = 5  # of an epoch: 20 images in batches of 2 for each of two processes
EPOCHS = 3


@pytest.fixture(scope="module")
def uninterrupted(new_training):
    training = new_training(epochs=EPOCHS, grad_accum_steps=1, gpus_per_node=2)
    assert training.run() == ExitCode.DONE
    return training


@pytest.fixture(scope="module")
def ends(new_training):
    """The training, and how each attempt ended: its exit code and the newest commit that it left, verified."""
    training = new_training(epochs=EPOCHS, grad_accum_steps=1, gpus_per_node=2)
    ends = {}

    def ended(name, attempt):
        ends[name] = attempt.wait(), training.newest()

    attempt = training.start(("hold_before_step", "FOLDER", STEPS + 3, 1)).held().committed(STEPS + 2)
    attempt.kill_ranks()
    ended("all ranks killed", attempt)

    attempt = training.start(("hold_before_step", "FOLDER", 2 * STEPS + 3, 1)).held().committed(2 * STEPS + 2)
    processes = [attempt.launched.pid, *attempt.launched.descendants()]
    begin = time.monotonic()
    attempt.kill_ranks(1)
    ended("one rank killed", attempt)
    ends["seconds"] = time.monotonic() - begin
    ends["left"] = [pid for pid in processes if zygote.is_alive(pid)]

    attempt = training.start(("hold_before_step", "FOLDER", 2 * STEPS + 3, 1)).held()
    attempt.terminate()
    ended("told to stop", attempt)

    ended("finished", training.start())
    return training, ends


def test_kill_9_of_one_rank_ends_all_processes_in_less_than_30_seconds(ends):
    code, commit = ends[1]["one rank killed"]
    assert (code, commit.step) == (ExitCode.INFRASTRUCTURE, 2 * STEPS + 2)
    assert ends[1]["left"] == []
    assert ends[1]["seconds"] < 30
    assert "rank 1 was killed by SIGKILL" in ends[0].attempts[1].log


def test_kill_9_of_all_ranks_leaves_the_last_commit(ends):
    code, commit = ends[1]["all ranks killed"]
    assert (code, commit.step, commit.world_size) == (ExitCode.INFRASTRUCTURE, STEPS + 2, 2)


def test_sigterm_in_the_train_loop_saves_at_the_next_step_and_ends_as_preempted(ends):
    code, commit = ends[1]["told to stop"]
    assert (code, commit.step) == (ExitCode.PREEMPTED, 2 * STEPS + 4)


def test_training_interrupted_three_times_is_bit_identical_to_an_uninterrupted_one(ends, uninterrupted):
    assert ends[1]["finished"][0] == ExitCode.DONE, ends[0].attempts[-1].log[-4000:]
    assert_same_result(ends[0], uninterrupted)


def test_no_sample_is_repeated_or_skipped_after_the_last_commit(ends, uninterrupted):
    training, ended = ends
    stops = [ended[name][1] for name in ("all ranks killed", "one rank killed", "told to stop", "finished")]
    places = [(0, 0), *map(place_of, stops)]
    assert_no_sample_is_lost(zip(training.attempts, pairwise(places), strict=True), uninterrupted.attempts[0].samples())


def test_two_kills_leave_one_mlflow_run_with_each_epoch_once(ends):
    training, _ = ends
    (run,) = training.runs()
    assert run.info.status == "FINISHED"
    history = training.mlflow().get_metric_history(run.info.run_id, "train/loss")
    assert [metric.step for metric in history] == [1, 2, 3]


def test_world_of_2_continued_by_1_and_by_2_sees_the_same_samples_and_another_batch_is_refused(
    new_training, uninterrupted
):
    training = new_training(epochs=2, grad_accum_steps=1, gpus_per_node=2)
    places = [(0, 0)]
    for step, changes in [(2, {}), (STEPS + 1, {"gpus_per_node": 1, "grad_accum_steps": 2})]:
        attempt = training.start(("hold_before_step", "FOLDER", step, 0), **changes).held()
        attempt.terminate()
        assert attempt.wait() == ExitCode.PREEMPTED
        commit = training.newest()
        assert (commit.step, commit.world_size) == (step + 1, changes.get("gpus_per_node", 2))
        places.append(place_of(commit))
    trained = list(training.attempts)

    assert training.run(gpus_per_node=1) == ExitCode.BAD_PARAMETERS
    assert "gpus_per_node (there 1, here 1)" not in training.attempts[-1].log
    assert "grad_accum_steps (there 2, here 1)" in training.attempts[-1].log
    resume = str(training.output / "checkpoint.pth")
    assert training.run(gpus_per_node=1, resume=resume) == ExitCode.BAD_PARAMETERS
    assert "with 4 samples a step (2 x 2 accumulated x 1 processes), but the run has 2 (2 x 1 x 1)" in (
        training.attempts[-1].log
    )

    last = training.start()
    assert last.wait() == ExitCode.DONE
    places.append((2, 0))
    samples = {place: image for place, image in uninterrupted.attempts[0].samples().items() if place < (2, 0)}
    assert_no_sample_is_lost(zip([*trained, last], pairwise(places), strict=True), samples)
    assert training.newest().step == 2 * STEPS
    assert [record.step for record in training.journal()] == [1, 2]
    (run,) = training.runs()
    assert run.info.status == "FINISHED"
