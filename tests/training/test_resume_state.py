"""What a checkpoint says of the data behind it."""

import msgspec
import pytest

from rfdetr_train.checkpoints.resume_state import KEY, VERSION, ResumeState, read_resume_state, rescale_batches
from rfdetr_train.errors import CheckpointError
from rfdetr_train.training.accumulators import sums_of_rank

STATE = ResumeState(
    version=VERSION,
    seed=3,
    fingerprint="f" * 64,
    epoch=2,
    samples=24,
    world_size=2,
    batch_size=2,
    grad_accum_steps=3,
    stopped_early=False,
    accumulators=[{"train/loss": (1.5, 6.0)}, {"train/loss": (2.5, 6.0)}],
)


def test_state_is_read_back_from_plain_values():
    assert read_resume_state({KEY: msgspec.to_builtins(STATE)}) == STATE
    assert STATE.global_batch == 12


def test_checkpoint_of_rfdetr_itself_has_none():
    assert read_resume_state({"state_dict": {}}) is None


@pytest.mark.parametrize("change", [{"samples": "many"}, {"accumulators": None}])
def test_damaged_state_is_refused(change):
    with pytest.raises(CheckpointError, match="own state is damaged"):
        read_resume_state({KEY: {**msgspec.to_builtins(STATE), **change}})


def test_state_of_another_version_is_refused_with_both():
    with pytest.raises(CheckpointError, match=rf"state version 99, wanted {VERSION}"):
        read_resume_state({KEY: {**msgspec.to_builtins(STATE), "version": 99}})


def test_batch_counters_become_those_of_the_new_split():
    counters = {
        "current": {"ready": 6, "started": 6, "processed": 6, "completed": 6},
        "total": {"ready": 46, "started": 46, "processed": 46, "completed": 46},
    }
    loaded = {"loops": {"fit_loop": {"epoch_loop.batch_progress": counters}}}
    rescale_batches(loaded, STATE, batches=12)
    assert set(counters["current"].values()) == {12}
    assert set(counters["total"].values()) == {52}


def test_each_rank_gets_its_own_sums_back_or_the_first_gets_all():
    saved = STATE.accumulators
    assert [sums_of_rank(saved, rank, 2) for rank in (0, 1)] == saved
    assert sums_of_rank(saved, 0, 1) == {"train/loss": (4.0, 12.0)}
    assert [sums_of_rank(saved, rank, 4) for rank in range(4)] == [{"train/loss": (4.0, 12.0)}, {}, {}, {}]
