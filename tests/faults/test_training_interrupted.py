"""Faults 1, 3, 4, 17 and 26: one training that is killed or told to stop wherever it can be, and one that is not.

Both have two data loading processes, augmentations that change the size of every batch, gradient accumulation and early
stopping.
"""

import time
from itertools import pairwise

import pytest
from faults_training import AUGMENTED, assert_no_sample_is_lost, assert_same_result, place_of

from rfdetr_train.errors import ExitCode

STEPS = 5  # of an epoch: 20 images in batches of 2, two accumulated
EPOCHS = 3  # no epoch is better than the first by 0.9, so early stopping with a patience of two ends it there


@pytest.fixture(scope="module")
def settings():
    return {
        "epochs": 6,
        "grad_accum_steps": 2,
        "num_workers": 2,
        "lr": 2e-3,
        "lr_encoder": 2e-3,
        "early_stopping": True,
        "early_stopping_patience": EPOCHS - 1,
        "early_stopping_min_delta": 0.9,
        "extra_train_args": AUGMENTED,
    }


@pytest.fixture(scope="module")
def uninterrupted(new_training, settings):
    training = new_training(**settings)
    assert training.run() == ExitCode.DONE
    return training


@pytest.fixture(scope="module")
def ends(new_training, settings):
    """The training, and how each attempt ended: its exit code and the newest commit that it left, verified."""
    training = new_training(**settings)
    ends = {}

    def ended(name, attempt):
        ends[name] = attempt.wait(), training.newest()

    attempt = training.start(("hold_in_staging", "FOLDER")).held()
    attempt.terminate()
    ended("told to stop while staging", attempt)

    attempt = training.start(("hold_in_start_up", "FOLDER")).held()
    attempt.terminate()
    ended("told to stop while starting", attempt)

    attempt = training.start(("hold_before_step", "FOLDER", STEPS + 3, 0)).held().committed(STEPS + 2)
    attempt.kill_ranks()
    ended("all ranks killed", attempt)

    attempt = training.start(("hold_in_save", "FOLDER", STEPS + 4)).held()
    attempt.terminate()
    attempt.terminate()
    attempt.go()
    ended("told twice while saving", attempt)

    attempt = training.start(("hold_in_validation", "FOLDER", 2)).held()
    attempt.terminate()
    attempt.terminate()
    ended("told twice while validating", attempt)

    attempt = training.start(("hold_in_save", "FOLDER", 2 * STEPS + 2)).held()
    attempt.terminate()
    time.sleep(0.3)
    attempt.launched.kill_all()
    ended("killed 0.3 s after it was told", attempt)

    attempt = training.start(("hold_at_the_end", "FOLDER")).held().committed(EPOCHS * STEPS)
    attempt.launched.kill_all()
    ended("killed after its last commit", attempt)

    ended("finished", training.start())
    return training, ends


@pytest.mark.parametrize("name", ["told to stop while staging", "told to stop while starting"])
def test_sigterm_before_the_first_batch_ends_as_preempted_with_nothing_to_save(ends, name):
    assert ends[1][name] == (ExitCode.PREEMPTED, None)


def test_kill_9_of_all_ranks_ends_as_infrastructure_and_the_last_commit_is_whole(ends):
    code, commit = ends[1]["all ranks killed"]
    assert (code, commit.step, commit.epoch, commit.position) == (ExitCode.INFRASTRUCTURE, STEPS + 2, 1, 2 * 4)
    assert "rank 0 was killed by SIGKILL" in ends[0].attempts[2].log
    assert "the same command again continues from there" in ends[0].attempts[2].log


def test_second_sigterm_during_a_save_does_not_corrupt_the_save(ends):
    code, commit = ends[1]["told twice while saving"]
    assert (code, commit.step) == (ExitCode.PREEMPTED, STEPS + 4)


def test_sigterm_in_validation_ends_as_preempted_at_once(ends):
    code, commit = ends[1]["told twice while validating"]
    assert (code, commit.step) == (ExitCode.PREEMPTED, STEPS + 4)
    assert "stopped in the validation of epoch 2" in ends[0].attempts[4].log


def test_sigkill_soon_after_sigterm_leaves_the_last_good_checkpoint(ends):
    code, commit = ends[1]["killed 0.3 s after it was told"]
    assert (code, commit.step) == (-9, 2 * STEPS)


def test_early_stopped_training_that_was_killed_before_its_end_is_only_finished(ends):
    training, ended = ends
    assert ended["killed after its last commit"][1].step == EPOCHS * STEPS
    code, commit = ended["finished"]
    assert (code, commit.step, commit.epoch) == (ExitCode.DONE, EPOCHS * STEPS, EPOCHS)
    assert f"Trained {EPOCHS} epochs" in training.attempts[-1].log
    assert f"epoch {EPOCHS + 1}/" not in training.attempts[-1].log


def test_training_interrupted_everywhere_is_bit_identical_to_an_uninterrupted_one(ends, uninterrupted):
    assert_same_result(ends[0], uninterrupted)


def test_early_stopping_and_the_best_scores_survive_restarts(ends, uninterrupted):
    def counters(training):
        callbacks = training.state()["callbacks"].values()
        (stopping,) = [state for state in callbacks if "wait_count" in state]
        (best,) = [state for state in callbacks if "_best_ema" in state]
        return stopping["wait_count"], stopping["best_score"], best["_best_ema"], best["best_model_score"]

    assert counters(ends[0])[0] == EPOCHS - 1
    assert counters(ends[0]) == counters(uninterrupted)


def test_no_sample_is_repeated_or_skipped_after_the_last_commit(ends, uninterrupted):
    training, ended = ends
    places = [(0, 0), *(place_of(commit) if commit else (0, 0) for _, commit in ended.values())]
    parts = zip(training.attempts, pairwise(places), strict=True)
    assert_no_sample_is_lost(parts, uninterrupted.attempts[0].samples())


def test_restarts_continue_one_mlflow_run_with_each_epoch_once(ends):
    training, _ = ends
    (run,) = training.runs()
    assert run.info.status == "FINISHED"
    for name in ("train/loss", "val/mAP_50_95", "val/ema_mAP_50_95"):
        steps = [metric.step for metric in training.mlflow().get_metric_history(run.info.run_id, name)]
        assert steps == list(range(1, EPOCHS + 1))
