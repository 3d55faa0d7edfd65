"""The account of a run's wall time."""

import pytest

from rfdetr_train.training.goodput import add_up, measure, to_markdown
from rfdetr_train.training.stopwatch import Progress, ProgressFile, Stopwatch, read_progress


def attempt(number=1, *, steps=60.0, first=0, last=30, reached_before=0, gpus=2, exit_code=None):
    progress = Progress(last, first, {"steps": steps, "validation": 10.0, "checkpoint_stall": 2.0}, started=130.0)
    return measure(
        number=number,
        gpus=gpus,
        begun=100.0,
        now=220.0,
        staging=5.0,
        upload_wait=8.0,
        progress=progress,
        reached_before=reached_before,
        exit_code=exit_code,
    )


def test_every_second_of_an_attempt_is_accounted_for():
    made = attempt()
    assert made.wall == 120.0
    assert made.seconds["start_up"] == 25.0  # 30 until the first batch, less 5 of staging
    assert made.seconds["other"] == 120 - 60 - 10 - 2 - 5 - 25 - 8
    assert sum(made.seconds.values()) == made.wall


def test_attempt_that_never_trained_is_start_up_and_waiting():
    made = measure(number=1, gpus=0, begun=0, now=50, staging=5, upload_wait=10, progress=Progress(), reached_before=0)
    assert made.seconds == {"staging": 5, "start_up": 35, "upload_wait": 10, "other": 0}
    total = add_up([made], gpu_hour_price=2.0)
    assert (total.ratio, total.gpu_hours, total.cost) == (0.0, 0.0, 0.0)


def test_repeated_steps_do_not_count_as_productive():
    # The first was lost at step 40 and had committed step 25; the second goes from 25 to 75 in 60 s.
    first = attempt(1, last=40)
    second = attempt(2, first=25, last=75, reached_before=40)
    total = add_up([first, second], gpu_hour_price=3.0)
    assert (second.repeated_steps, total.repeated_steps) == (15, 15)
    assert second.repeated_seconds == pytest.approx(60 * 15 / 50)
    assert total.productive == pytest.approx(120 - 18)
    assert total.ratio == pytest.approx(102 / 240)
    assert total.gpu_hours == pytest.approx(2 * 240 / 3600)
    assert total.cost == pytest.approx(0.4)


def test_attempt_lost_before_it_came_as_far_repeats_only_what_it_did():
    assert attempt(first=25, last=30, reached_before=40).repeated_steps == 5
    assert attempt(first=25, last=25, reached_before=40).repeated_seconds == 0.0
    assert attempt(first=40, last=50, reached_before=40).repeated_steps == 0


def test_report_shows_the_ratio_the_repeated_steps_and_the_cost():
    text = to_markdown(add_up([attempt(1, last=40), attempt(2, first=25, last=75, reached_before=40)], 3.0))
    assert "42.5% of 0:04:00 went into optimizer steps that count, in 2 attempt(s); 15 step(s) were repeated" in text
    assert "GPU hours: 0.13, cost 0.40." in text
    assert "| optimizer steps | 0:02:00 | 50.0% |" in text
    assert "cost" not in to_markdown(add_up([attempt()], 0.0))


def test_stopwatch_adds_up_also_when_the_block_fails():
    watch = Stopwatch()
    for _ in range(2):
        with pytest.raises(KeyError), watch.measure("steps"):
            raise KeyError
    assert list(watch.seconds) == ["steps"]
    assert watch.seconds["steps"] > 0


def test_last_word_of_a_rank_is_read_back_and_a_damaged_one_is_none(tmp_path):
    assert read_progress(tmp_path) == Progress()
    file = ProgressFile(tmp_path)
    file.write(Progress(1), now=True)
    file.write(Progress(2))  # too soon
    assert read_progress(tmp_path).step == 1
    file.write(Progress(3, 1, {"steps": 2.5}), now=True)
    assert read_progress(tmp_path) == Progress(3, 1, {"steps": 2.5})
    (path,) = tmp_path.iterdir()
    path.write_bytes(b'{"step": ')
    assert read_progress(tmp_path) == Progress()
