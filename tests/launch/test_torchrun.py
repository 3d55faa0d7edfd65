"""How the end of torchrun is told, with real torchrun and workers that end in each way."""

import textwrap

import pytest

from rfdetr_train.errors import ExitCode, InfrastructureError
from rfdetr_train.launch import torchrun
from rfdetr_train.launch.torchrun import start
from rfdetr_train.training.job import Job
from rfdetr_train.training.worker import World


def run(tmp_path, monkeypatch, worker, processes=1):
    """Run a module of our own as the worker; ``job`` is what it was told."""
    prelude = """
        import os, sys
        from pathlib import Path
        from rfdetr_train.errors import ExitCode
        from rfdetr_train.training.job import Outcome, read_job, write_outcome
        job = read_job(Path(sys.argv[1]))
    """
    (tmp_path / "some_worker.py").write_text(textwrap.dedent(prelude) + textwrap.dedent(worker))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(torchrun, "WORKER", "some_worker")
    monkeypatch.setattr(torchrun, "start", start)  # torchrun's own process, whatever other tests put in its place
    job = Job({"epochs": 3}, "data", ["a"], "fingerprint", 0, str(tmp_path / "outcome.json"))
    return torchrun.run(job, processes=processes, job_file=tmp_path / "job.json")


def test_exit_class_of_a_worker_arrives_though_torchrun_returns_1(tmp_path, monkeypatch):
    worker = "write_outcome(Outcome(50, 'too big'), Path(job.outcome_file)); sys.exit(50)"
    outcome = run(tmp_path, monkeypatch, worker)
    assert (outcome.exit_code, outcome.message) == (ExitCode.OUT_OF_MEMORY, "too big")


def test_killed_worker_is_an_infrastructure_failure(tmp_path, monkeypatch):
    outcome = run(tmp_path, monkeypatch, "os.kill(os.getpid(), 9)")
    assert outcome.exit_code == ExitCode.INFRASTRUCTURE
    assert "rank 0 was killed by SIGKILL" in outcome.message


def test_crash_of_a_worker_is_named_by_rank_without_a_traceback_of_torchrun(tmp_path, monkeypatch, capfd):
    outcome = run(tmp_path, monkeypatch, "sys.exit(3)")
    assert outcome.exit_code == ExitCode.INFRASTRUCTURE
    assert outcome.message == "rank 0 ended with status 3; the log above says why."
    assert "Traceback" not in capfd.readouterr().err


def test_worker_that_ends_well_without_a_word_is_not_taken_for_done(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, "pass").exit_code == ExitCode.INFRASTRUCTURE


def test_first_failure_of_any_rank_stands(tmp_path, monkeypatch):
    worker = """
        if os.environ["RANK"] == "1":
            write_outcome(Outcome(2, "bad"), Path(job.outcome_file))
            sys.exit(2)
        import time
        time.sleep(60)
    """
    outcome = run(tmp_path, monkeypatch, worker, processes=2)
    assert (outcome.exit_code, outcome.message) == (ExitCode.BAD_PARAMETERS, "bad")


def test_killed_rank_is_named_though_its_neighbour_said_first_that_the_connection_broke(tmp_path, monkeypatch):
    worker = """
        import time
        killed = Path(job.outcome_file).with_name("killed")
        if os.environ["RANK"] == "1":
            killed.touch()
            os.kill(os.getpid(), 9)
        while not killed.exists():
            time.sleep(0.01)
        write_outcome(Outcome(ExitCode.INFRASTRUCTURE, "the connection was closed"), Path(job.outcome_file))
        sys.exit(ExitCode.INFRASTRUCTURE)
    """
    outcome = run(tmp_path, monkeypatch, worker, processes=2)
    assert (outcome.exit_code, outcome.message[:29]) == (ExitCode.INFRASTRUCTURE, "rank 1 was killed by SIGKILL;")


def test_worker_that_torchrun_did_not_start_says_so(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InfrastructureError, match="found no WORLD_SIZE in its environment; it is started by torchrun"):
        World.from_environment()


def test_workers_see_the_world_that_was_asked_for_and_their_outcome_arrives(tmp_path, monkeypatch):
    worker = """
        world = ",".join(os.environ[name] for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if os.environ["RANK"] == "0":
            write_outcome(Outcome(0, world, 3), Path(job.outcome_file))
    """
    outcome = run(tmp_path, monkeypatch, worker, processes=2)
    assert (outcome.exit_code, outcome.message, outcome.completed_epochs) == (ExitCode.DONE, "2,2", 3)
