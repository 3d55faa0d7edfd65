"""The metrics journal: whole lines only, whatever happens to the process that writes it."""

import os
import signal
import subprocess
import sys

from rfdetr_train.tracking.journal import Record, append, read, truncate_after


def test_records_are_read_in_order_without_values_that_are_not_finite(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append(path, 1, {"loss": 2.5, "broken": float("nan")}, 1000)
    append(path, 2, {"loss": 1, "map": float("inf")}, 2000)
    assert read(path) == [Record(1, 1000, {"loss": 2.5}), Record(2, 2000, {"loss": 1.0})]
    assert read(tmp_path / "none.jsonl") == []


def test_half_written_last_line_is_dropped_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append(path, 1, {"loss": 2.5}, 1000)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step":2,"time_ms":20')
    assert [record.step for record in read(path)] == [1]

    append(path, 2, {"loss": 1.5}, 3000)

    assert read(path) == [Record(1, 1000, {"loss": 2.5}), Record(2, 3000, {"loss": 1.5})]
    assert path.read_bytes().startswith(whole)


def test_damaged_line_is_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step":1,"time_ms":1,"metrics":{}}\n\0\0\0\0\n{"step":3,"time_ms":3,"metrics":{}}\n')
    assert [record.step for record in read(path)] == [1, 3]


def test_epochs_after_a_step_are_forgotten_and_the_others_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3, 4):
        append(path, step, {"loss": 1 / step}, step)
    truncate_after(path, 2)
    assert [record.step for record in read(path)] == [1, 2]
    append(path, 3, {"loss": 0.5}, 9)
    assert [(record.step, record.time_ms) for record in read(path)] == [(1, 1), (2, 2), (3, 9)]
    truncate_after(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()


def test_what_a_killed_process_appended_is_there(tmp_path):
    path = tmp_path / "metrics.jsonl"
    code = (
        "import sys; from pathlib import Path; from rfdetr_train.tracking.journal import append\n"
        "for step in range(1, 10**6):\n"
        "    append(Path(sys.argv[1]), step, {'loss': 1.0 / step}, step); print(step, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        told = [int(process.stdout.readline()) for _ in range(5)]
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split()]
    assert [record.step for record in read(path)][: len(told)] == told
