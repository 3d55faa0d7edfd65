"""Faults 11 to 16: a full disk, a loss of NaN, no memory, a killed data loading process, a hang, a jumping clock."""

import os
import signal
import time
from itertools import pairwise

import torch
import zygote

from rfdetr_train.errors import ExitCode

STARTED = "training on cpu, world size"


def ended(training, *patches, **changes):
    attempt = training.start(*patches, **changes)
    return attempt.wait(), attempt.log


def test_disk_full_as_by_rlimit_fsize_keeps_the_last_commit_and_says_so(new_training):
    training = new_training(epochs=2, grad_accum_steps=1)
    code, log = ended(training, ("limit_file_size", 5, 4))
    assert (code, training.newest().step) == (ExitCode.INFRASTRUCTURE, 4)
    assert f"output_dir: the checkpoint of step 6 could not be written to {training.output}" in log
    assert "The one before it is whole. Make room or name another output_dir, and start the same run again." in log
    assert training.run() == ExitCode.DONE
    assert "commit 2" in training.attempts[-1].log  # of step 4; room was made


def test_kill_between_the_making_of_the_run_and_the_note_of_it_leaves_one_run(new_training):
    training = new_training(epochs=1, grad_accum_steps=1)
    training.start(("hold_before_the_lease", "FOLDER")).held().launched.kill_all()
    assert training.attempts[0].wait() == -9
    assert len(training.runs()) == 1
    assert training.run() == ExitCode.DONE
    (run,) = training.runs()
    assert run.info.status == "FINISHED"


def test_disk_too_small_as_simulated_is_told_before_the_training_starts(new_training):
    training = new_training(epochs=2, grad_accum_steps=1)
    code, log = ended(training, ("small_disk", 50))
    assert (code, training.newest()) == (ExitCode.INFRASTRUCTURE, None)
    assert "output_dir: the checkpoints need about 0.1 GB" in log
    assert STARTED not in log


def test_loss_of_nan_ends_as_diverged_keeps_the_last_finite_commit_and_is_not_repeated(new_training):
    training = new_training(epochs=2, grad_accum_steps=1)
    code, log = ended(training, ("nan_loss", 2))
    commit = training.newest()
    assert (code, commit.step) == (ExitCode.DIVERGED, 2)
    assert all(torch.isfinite(value).all() for value in training.state()["state_dict"].values())
    assert "lr: the loss was not finite for 5 batches in a row" in log
    assert "The last finite checkpoint is kept" in log
    (run,) = training.runs()
    assert (run.info.status, run.data.tags["rfdetr.state"]) == ("FAILED", "diverged")

    code, log = ended(training)
    assert code == ExitCode.DIVERGED
    assert "which ended: diverged. With the same parameters and data it would again." in log
    assert STARTED not in log
    assert training.newest() == commit


def test_out_of_memory_as_simulated_proposes_the_same_effective_batch_and_is_not_repeated(new_training):
    training = new_training(epochs=2, grad_accum_steps=1)
    code, log = ended(training, ("out_of_memory", 3))
    assert (code, training.newest().step) == (ExitCode.OUT_OF_MEMORY, 2)
    assert "batch_size: 2 does not fit in the memory of the device (CUDA out of memory." in log
    assert "The same effective batch with less memory: batch_size=1 grad_accum_steps=2" in log

    code, log = ended(training)
    assert code == ExitCode.OUT_OF_MEMORY
    assert "which ended: out-of-memory" in log
    assert STARTED not in log

    attempt = training.start(("hold_before_step", "FOLDER", 4, 0), batch_size=1, grad_accum_steps=2).held()
    attempt.terminate()
    assert attempt.wait() == ExitCode.PREEMPTED
    assert training.newest().step == 5
    assert min(attempt.samples()) == (0, 4)


def test_killed_data_loading_process_is_told_with_shared_memory_and_the_parameter(new_training):
    training = new_training(epochs=2, grad_accum_steps=1, num_workers=1)
    attempt = training.start(("hold_before_step", "FOLDER", 3, 0)).held().committed(2)
    (rank,) = attempt.launched.ranks()
    for worker in zygote.children(rank):
        zygote.kill(worker)
    attempt.go()
    assert attempt.wait() == ExitCode.INFRASTRUCTURE
    assert "num_workers: a data loading process was killed" in attempt.log
    assert "/dev/shm, which has" in attempt.log
    assert "lower num_workers (it is 1)" in attempt.log
    assert training.newest().step == 2


def test_hung_step_ends_with_the_stacks_in_bounded_time(new_training):
    training = new_training(epochs=2, grad_accum_steps=1)
    begin = time.monotonic()
    attempt = training.start(("impatient_watchdog", 1.0, 3, 0), ("hang_in_step", 3))
    assert attempt.wait() == ExitCode.INFRASTRUCTURE
    assert time.monotonic() - begin < 60
    assert "rank 0: a training process made no progress for 1 s" in attempt.log
    assert "in hang" in attempt.log.partition("(most recent call first)")[2]
    assert training.newest().step == 2


def test_stopped_rank_of_two_ends_the_training_with_the_stacks_of_the_other_in_bounded_time(new_training):
    training = new_training(epochs=2, grad_accum_steps=1, gpus_per_node=2)
    patches = [("impatient_watchdog", 2.0, 3, 0), ("wait_for_ranks", 3.0), ("hold_before_step", "FOLDER", 3, 1)]
    attempt = training.start(*patches).held()
    processes = [attempt.launched.pid, *attempt.launched.descendants()]
    os.kill(attempt.launched.ranks()[1], signal.SIGSTOP)
    begin = time.monotonic()
    assert attempt.wait() == ExitCode.INFRASTRUCTURE
    assert time.monotonic() - begin < 30
    assert [pid for pid in processes if zygote.is_alive(pid)] == []
    assert "rank 0: a training process made no progress for 2 s" in attempt.log
    assert "(most recent call first)" in attempt.log
    assert training.newest().step == 2


def test_jumping_wall_clock_does_not_change_when_commits_are_made(new_training):
    training = new_training(epochs=1, grad_accum_steps=1, checkpoint_every_steps=0, checkpoint_every_seconds=1)
    attempt = training.start(("jumping_clock",), ("slow_steps", 0.3), ("log_commits", "FOLDER"))
    assert attempt.wait() == ExitCode.DONE
    lines = [line.split() for line in (attempt.folder / "commits").open()]
    times = [float(seconds) for seconds, step in lines if int(step) < 10]
    assert len(times) >= 2
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert min(pauses) >= 1
