"""What the progress line says, and how often it asks the device for the loss."""

from types import SimpleNamespace

import pytest

from rfdetr_train.training.callbacks import progress
from rfdetr_train.training.callbacks.progress import Progress


class Loss:
    """A loss that counts how often it is read."""

    reads = 0

    def __float__(self):
        Loss.reads += 1
        return 2.5


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    Loss.reads = 0
    return now


def a_trainer(batches):
    return SimpleNamespace(
        is_global_zero=True, num_training_batches=batches, max_epochs=2, current_epoch=0, global_step=1,
        accumulate_grad_batches=2, optimizers=[SimpleNamespace(param_groups=[{"lr": 1e-4}])],
    )  # fmt: skip


def run_batches(callback, clock, trainer, count, seconds):
    callback.on_train_epoch_start(trainer, None)
    for batch in range(count):
        clock.seconds += seconds
        callback.on_train_batch_end(trainer, None, {"loss": Loss()}, None, batch)


def test_rate_and_remaining_time_count_waiting_for_data(clock, capsys):
    run_batches(Progress(images_per_batch=8), clock, a_trainer(batches=4), 4, seconds=2.0)
    last = capsys.readouterr().out.splitlines()[-1]
    # 8 images in 2 s; 4 batches of the second epoch are left.
    assert "4.0 images/s  ETA 0:00:08" in last
    assert "epoch 1/2  batch 4/4  step 1  loss 5.0000  lr 1.00e-04" in last


def test_line_comes_every_ten_seconds_and_at_the_end_of_the_epoch(clock, capsys):
    run_batches(Progress(images_per_batch=8), clock, a_trainer(batches=100), 100, seconds=0.5)
    shown = [line.split("batch ")[1].split("/")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["1", "21", "41", "61", "81", "100"]


def test_loss_is_not_read_at_every_batch_of_a_live_bar(clock):
    callback = Progress(images_per_batch=8)
    shown = []
    callback._bar = SimpleNamespace(update=lambda count: None, set_description_str=shown.append)
    run_batches(callback, clock, a_trainer(batches=100), 100, seconds=0.1)
    assert Loss.reads == len(shown)
    assert 10 <= Loss.reads <= 12
