"""The end of a process that makes no progress; real processes, because it ends them."""

import subprocess
import sys
import time

CODE = """
import sys, time
from rfdetr_train.training.watchdog import Watchdog
watchdog = Watchdog({seconds}, lambda message: print(message, flush=True))
def stays_here():
    {body}
stays_here()
"""


def run(body, seconds=0.4):
    code = CODE.format(body=body, seconds=seconds)
    begin = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return ended, time.monotonic() - begin


def test_process_that_waits_for_ever_is_ended_with_its_stacks():
    ended, seconds = run("time.sleep(50)")
    assert ended.returncode == 70
    assert ended.stdout == "a training process made no progress for 0 s; the log above shows where it is\n"
    assert "in stays_here" in ended.stderr
    assert seconds < 30


def test_process_that_holds_the_interpreter_lock_is_ended_too():
    # A regular expression that backtracks for hours in C, and never lets another thread run.
    ended, seconds = run("import re; time.sleep(0.3); re.match('(a+)+$', 'a' * 60 + 'b')")
    assert ended.returncode not in (0, None)
    assert "in stays_here" in ended.stderr
    assert seconds < 30


def test_signs_of_life_keep_it_away():
    ended, _ = run("for _ in range(60): time.sleep(0.02); watchdog.alive()")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_watchdog_that_is_closed_watches_no_longer():
    ended, _ = run("time.sleep(0.1); watchdog.close(); time.sleep(1.2)")
    assert (ended.returncode, ended.stderr) == (0, "")
