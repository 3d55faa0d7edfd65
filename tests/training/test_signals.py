"""SIGTERM in a rank."""

import os
import signal
from types import SimpleNamespace

import pytest

from rfdetr_train.errors import Preempted
from rfdetr_train.training.signals import StopSignal


@pytest.fixture(autouse=True)
def _restored():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def trainer():
    loop = SimpleNamespace(_broadcast_sigterm_tensor=lambda: pytest.fail("Lightning's own agreement was asked"))
    return SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=loop))


def term():
    os.kill(os.getpid(), signal.SIGTERM)


def test_signal_in_the_start_up_ends_it_at_once_and_a_second_one_does_not_disturb_that():
    stop = StopSignal()
    with pytest.raises(Preempted, match="stopped while it started"):
        term()
    term()
    assert stop.requested


def test_signal_in_the_training_leaves_a_note(trainer):
    stop = StopSignal()
    stop.defer(trainer)
    assert not stop.requested
    term()
    term()
    assert stop.requested
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor()


def test_handler_that_lightning_put_in_its_place_is_replaced(trainer):
    stop = StopSignal()
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("Lightning's handler was called"))
    stop.defer(trainer)
    term()
    assert stop.requested
