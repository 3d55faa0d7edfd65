"""The order of the training data: a function of seed, epoch and position alone."""

import hashlib
import random
from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rfdetr_train.training.data import ExactSampler, Key, Position, SeededDataset, seed_of

BEGINNING = Position(0, 0)
sizes = st.integers(1, 60)
batches = st.integers(1, 4)
accumulations = st.integers(1, 3)
worlds = st.integers(1, 4)


def samplers(size, *, batch_size, accumulate, world_size, start=BEGINNING, seed=0):
    return [
        ExactSampler(
            size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            batch_size=batch_size,
            global_batch=batch_size * accumulate * world_size,
            start=start,
        )
        for rank in range(world_size)
    ]


def steps(size, *, batch_size, accumulate, world_size, start=BEGINNING, epoch=None):
    """The samples of each optimizer step that is left of an epoch, over all ranks, without their order."""
    made = samplers(size, batch_size=batch_size, accumulate=accumulate, world_size=world_size, start=start)
    for sampler in made:
        sampler.set_epoch(start.epoch if epoch is None else epoch)
    keys = [list(sampler) for sampler in made]
    per_rank = batch_size * accumulate
    assert {len(each) for each in keys} == {len(keys[0])}
    assert len(keys[0]) % per_rank == 0
    return [sorted(k for each in keys for k in each[i : i + per_rank]) for i in range(0, len(keys[0]), per_rank)]


@settings(max_examples=60, deadline=None)
@given(sizes, batches, accumulations, worlds, st.integers(0, 5))
def test_epoch_has_every_image_equally_often_up_to_one_and_no_key_twice(
    size, batch_size, accumulate, world_size, epoch
):
    split = {"batch_size": batch_size, "accumulate": accumulate, "world_size": world_size}
    keys = list(chain.from_iterable(steps(size, **split, epoch=epoch)))
    assert len(set(keys)) == len(keys) >= max(size, 5 * batch_size * accumulate * world_size)
    counts = Counter(key.image for key in keys)
    assert len(counts) == size
    assert max(counts.values()) - min(counts.values()) <= 1


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.data())
def test_world_of_n_continued_by_m_and_by_n_has_the_same_samples_in_every_step(size, world_size, accumulate, draw):
    split = {"batch_size": 2, "accumulate": accumulate * 4 // world_size, "world_size": world_size}
    whole = steps(size, **split)
    cut = sorted(draw.draw(st.lists(st.integers(0, len(whole)), min_size=2, max_size=2)))
    other = draw.draw(st.sampled_from([1, 2, 4]))
    global_batch = 8 * accumulate
    parts = []
    for first, last, world in [(0, cut[0], world_size), (cut[0], cut[1], other), (cut[1], len(whole), world_size)]:
        split = {"batch_size": 2, "accumulate": accumulate * 4 // world, "world_size": world}
        start = Position(0, first * global_batch)
        parts += islice(steps(size, **split, start=start), last - first)
    assert parts == whole


@settings(max_examples=30, deadline=None)
@given(sizes, batches, worlds)
def test_batch_of_a_rank_is_its_slice_of_the_global_batch(size, batch_size, world_size):
    made = samplers(size, batch_size=batch_size, accumulate=1, world_size=world_size)
    alone = list(samplers(size, batch_size=batch_size * world_size, accumulate=1, world_size=1)[0])
    for rank, sampler in enumerate(made):
        expected = [key for i, key in enumerate(alone) if i // batch_size % world_size == rank]
        assert list(sampler) == expected


def test_epochs_and_seeds_have_orders_and_augmentations_of_their_own():
    def epoch(seed, number):
        (sampler,) = samplers(50, batch_size=2, accumulate=1, world_size=1, seed=seed)
        sampler.set_epoch(number)
        return list(sampler)

    orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0)]
    assert epoch(0, 0) == orders[0]
    assert len({tuple(key.image for key in order) for order in orders}) == 3
    assert len({key.seed for order in orders for key in order}) == 150


def test_length_is_that_of_the_whole_epoch_also_in_its_middle_and_the_next_epoch_is_whole():
    (sampler,) = samplers(20, batch_size=2, accumulate=2, world_size=1, start=Position(3, 8))
    assert len(sampler) == 20
    assert len(list(sampler)) == 12
    sampler.set_epoch(4)
    assert len(list(sampler)) == 20


def test_seeds_do_not_depend_on_the_process():
    digest = hashlib.blake2b(b"0,1,2", digest_size=8).digest()  # Python's own hash would change with PYTHONHASHSEED
    assert seed_of(0, 1, 2) == int.from_bytes(digest, "little") // 2 < 2**63
    assert seed_of(12, 3) != seed_of(1, 23)


class Random(torch.utils.data.Dataset):
    """Draws from every generator that an augmentation may use."""

    def __len__(self):
        return 10

    def __getitem__(self, image):
        if image == 9:
            raise OSError("broken image")
        return image, random.random(), float(np.random.rand()), float(torch.rand(()))


def test_sample_depends_on_its_key_alone_and_leaves_the_generators_as_they_were():
    dataset = SeededDataset(Random())
    torch.manual_seed(1)
    first = dataset[Key(3, 2**62 + 5)]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    undisturbed = random.random(), float(np.random.rand()), float(torch.rand(()))
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert dataset[Key(3, 2**62 + 5)] == first
    with pytest.raises(OSError, match="broken image"):
        dataset[Key(9, 1)]
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == undisturbed
    assert dataset[Key(3, 6)][1:] != first[1:]
