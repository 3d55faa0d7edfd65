"""The lease: taken, renewed, refused, run out, released."""

import os
import subprocess
import sys
import threading
import time

import msgspec
import pytest
from commits import WatchedStore, publish_all

from rfdetr_train.checkpoints import holder
from rfdetr_train.checkpoints.holder import Holder, is_gone, this_process
from rfdetr_train.checkpoints.lease import LeaseLost, acquire
from rfdetr_train.checkpoints.lease_record import KEY, Record, read_record
from rfdetr_train.errors import InfrastructureError, Preempted
from rfdetr_train.storage import TransientError, open_store

ELSEWHERE = Holder("node-7", "another machine", 4711, 1)


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return open_store(f"s3://{request.getfixturevalue('s3_bucket')}/run/checkpoints")


def leave(store, **changes):
    """Leave the lease of a job on another machine."""
    record = msgspec.structs.replace(Record("theirs", 4, ELSEWHERE, 120, 0.3), **changes)
    store.write(KEY, msgspec.json.encode(record))


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_first_job_of_a_run_takes_the_lease_and_the_next_one_after_its_release(store):
    first = acquire(store, step=lambda: 70)
    assert (first.generation, first.previous_step) == (1, 0)
    first.release()
    second = acquire(store)
    assert (second.generation, second.previous_step) == (2, 70)
    second.check()
    with pytest.raises(LeaseLost, match="generation 1"):
        first.check()
    second.release()


def test_renewed_lease_refuses_a_second_job_and_names_the_first(store):
    first = acquire(store, ttl=1.5, step=lambda: 7)
    notes = []
    with pytest.raises(InfrastructureError, match=rf"process {os.getpid()} on .*, at step 7\. Wait for its end"):
        acquire(store, ttl=1.5, on_wait=notes.append)
    assert len(notes) == 1
    assert store.uri in notes[0]
    first.check()
    first.release()


def test_lease_that_is_not_renewed_for_its_whole_time_is_taken_over(store):
    leave(store)
    begin = time.monotonic()
    lease = acquire(store, ttl=0.1)
    assert time.monotonic() - begin >= 0.3  # its own time to live, not ours
    assert (lease.generation, lease.previous_step) == (5, 120)
    lease.release()


def test_taken_lease_is_noticed_by_its_holder_once(store):
    lost = []
    lease = acquire(store, ttl=0.15, on_lost=lambda: lost.append(1))
    leave(store)
    wait_for(lambda: lost)
    for _ in range(2):
        with pytest.raises(LeaseLost, match="another job has taken over"):
            lease.check()
    lease.release()
    assert lost == [1]
    assert read_record(store)[0].token == "theirs"  # the release of a lost lease changes nothing


def test_deleted_lease_does_not_make_the_manifests_look_newer(store, tmp_path):
    for sequence in (1, 2):
        publish_all(tmp_path / "out", store, sequence)
    store.delete(KEY)
    lease = acquire(store)
    assert lease.generation == 3
    lease.release()


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"token": 1}'])
def test_unreadable_lease_is_waited_for_and_replaced(tmp_path, data):
    store = open_store(str(tmp_path))
    store.write(KEY, data)
    notes = []
    lease = acquire(store, ttl=0.1, on_wait=notes.append)
    assert lease.generation == 1
    assert "an unknown host" in notes[0]
    lease.release()


def test_of_many_jobs_at_once_one_gets_the_lease(store):
    begin = threading.Barrier(6)
    leases, refused = [], []

    def compete():
        begin.wait()
        try:
            leases.append(acquire(store, ttl=1.5))
        except InfrastructureError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=compete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(leases), len(refused)) == (1, 5)
    leases[0].check()
    leases[0].release()


def test_store_that_is_away_while_renewing_costs_nothing_as_long_as_nobody_takes_over(tmp_path, caplog):
    away = threading.Event()

    def hook(method, key):
        if method == "write_if" and away.is_set():
            raise TransientError("the store is away.")

    store = WatchedStore(open_store(str(tmp_path)), hook)
    lease = acquire(store, ttl=0.06)
    away.set()
    before = len(store.keys("write_if"))
    wait_for(lambda: len(store.keys("write_if")) >= before + 4)
    away.clear()
    renewals = read_record(store)[0].renewals
    wait_for(lambda: read_record(store)[0].renewals > renewals)
    lease.check()
    assert not lease.lost.is_set()
    assert caplog.text.count("cannot be renewed, trying on: the store is away.") == 1
    lease.release()


def test_renewal_whose_answer_was_lost_is_no_conflict(tmp_path):
    real = open_store(str(tmp_path))
    lost = threading.Event()

    class Lossy(WatchedStore):
        def write_if(self, key, data, version):
            written = real.write_if(key, data, version)
            if version is not None and not lost.is_set():
                lost.set()
                raise TransientError("no answer.")
            return written

    steps = iter(range(10**6))
    lease = acquire(Lossy(real), ttl=0.06, step=lambda: next(steps))
    assert lost.wait(20)
    renewals = read_record(real)[0].renewals
    wait_for(lambda: read_record(real)[0].renewals >= renewals + 2)
    lease.check()
    lease.release()
    assert read_record(real)[0].released


def test_step_that_is_not_known_yet_keeps_that_of_the_job_before(tmp_path):
    store = open_store(str(tmp_path))
    leave(store, released=True)
    lease = acquire(store, step=lambda: None)
    lease.release()
    assert read_record(store)[0].step == 120


def test_waiting_for_a_lease_ends_when_told_to_stop(tmp_path):
    store = open_store(str(tmp_path))
    leave(store, ttl=600)
    stop = threading.Event()
    with pytest.raises(Preempted):
        acquire(store, stop=stop, on_wait=lambda _: stop.set())


def test_process_is_gone_when_it_ended_or_its_id_was_given_again():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ours = this_process()
    theirs = Holder(ours.host, ours.machine, process.pid, holder._stat(process.pid)[1])
    assert not is_gone(ours)
    assert not is_gone(theirs)
    assert is_gone(msgspec.structs.replace(theirs, started=theirs.started - 1))
    process.kill()
    wait_for(lambda: is_gone(theirs))  # before anybody has waited for it
    process.communicate()
    assert is_gone(theirs)
    assert not is_gone(msgspec.structs.replace(theirs, machine="another machine"))
    assert not is_gone(msgspec.structs.replace(theirs, machine=""))
