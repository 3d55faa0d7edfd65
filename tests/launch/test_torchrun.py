"""How the end of torchrun is told, with real torchrun and workers that end in each way."""

import textwrap

import pytest

from rfdetr_train.errors import ExitCode
from rfdetr_train.launch import torchrun
from rfdetr_train.training.job import Job


def run(tmp_path, monkeypatch, worker, processes=1):
    """Run a module of our own as the worker; ``job`` is what it was told."""
    prelude = """
        import os, sys
        from pathlib import Path
        from rfdetr_train.training.job import Outcome, read_job, write_outcome
        job = read_job(Path(sys.argv[1]))
    """
    (tmp_path / "some_worker.py").write_text(textwrap.dedent(prelude) + textwrap.dedent(worker))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(torchrun, "WORKER", "some_worker")
    job = Job({"epochs": 3}, "data", ["a"], "run", "sqlite://", str(tmp_path / "outcome.json"))
    return torchrun.run(job, processes=processes, job_file=tmp_path / "job.json")


def test_outcome_of_the_worker_is_the_outcome(tmp_path, monkeypatch):
    outcome = run(tmp_path, monkeypatch, "write_outcome(Outcome(0, 'done', 3), Path(job.outcome_file))")
    assert (outcome.exit_code, outcome.completed_epochs) == (ExitCode.DONE, 3)


def test_exit_class_of_a_worker_arrives_though_torchrun_returns_1(tmp_path, monkeypatch):
    worker = "write_outcome(Outcome(50, 'too big'), Path(job.outcome_file)); sys.exit(50)"
    outcome = run(tmp_path, monkeypatch, worker)
    assert (outcome.exit_code, outcome.message) == (ExitCode.OUT_OF_MEMORY, "too big")


def test_killed_worker_is_an_infrastructure_failure(tmp_path, monkeypatch):
    outcome = run(tmp_path, monkeypatch, "os.kill(os.getpid(), 9)")
    assert outcome.exit_code == ExitCode.INFRASTRUCTURE
    assert "no training process could say why" in outcome.message


def test_worker_that_ends_well_without_a_word_is_not_taken_for_done(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, "pass").exit_code == ExitCode.INFRASTRUCTURE


@pytest.mark.parametrize("failing", [0, 1])
def test_first_failure_of_any_rank_stands(tmp_path, monkeypatch, failing):
    worker = f"""
        if os.environ["RANK"] == "{failing}":
            write_outcome(Outcome(2, "bad"), Path(job.outcome_file))
            sys.exit(2)
        import time
        time.sleep(60)
    """
    outcome = run(tmp_path, monkeypatch, worker, processes=2)
    assert (outcome.exit_code, outcome.message) == (ExitCode.BAD_PARAMETERS, "bad")


def test_workers_see_the_world_that_was_asked_for(tmp_path, monkeypatch):
    worker = """
        world = ",".join(os.environ[name] for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if os.environ["RANK"] == "0":
            write_outcome(Outcome(0, world), Path(job.outcome_file))
    """
    assert run(tmp_path, monkeypatch, worker, processes=2).message == "2,2"
