"""Training data as a pure function of (seed, epoch, position), so that a resume needs a position and no RNG state.

The order of an epoch is one permutation for all ranks, cut into global batches: batch ``m`` of ``world_size`` ranks is
``order[m * world_size * batch_size :]``, sliced by rank. Each optimizer step therefore sees the same samples whatever
the world size, as long as ``batch_size x grad_accum_steps x world_size`` is kept.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from rfdetr.config import ModelConfig, TrainConfig
from rfdetr.training import RFDETRDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from rfdetr_train.lifeline import leave_group
from rfdetr_train.training.effective_batch import MIN_EFFECTIVE_BATCHES


class Key(NamedTuple):
    """A sample of an epoch: what the sampler yields in the place of an index.

    Attributes:
        image: Index in the dataset.
        seed: Seed of its augmentation.
    """

    image: int
    seed: int


class Position(NamedTuple):
    """How far the training has come in its data.

    Attributes:
        epoch: Completed epochs.
        samples: Samples of the next epoch that have been seen, over all ranks.
    """

    epoch: int
    samples: int


def seed_of(*parts: int) -> int:
    """Derive an independent 63-bit seed from integers; Python's own hash is no choice, it may change."""
    text = ",".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


class ExactSampler(DistributedSampler[Key]):
    """The samples of this rank, in an order that only (seed, epoch) decide, from any position of the epoch on.

    A subclass of DistributedSampler because Lightning puts one of its own in the place of anything else.
    """

    def __init__(
        self, size: int, *, seed: int, rank: int, world_size: int, batch_size: int, global_batch: int, start: Position
    ) -> None:
        """Plan the epochs.

        Args:
            size: Images of the dataset.
            seed: Seed of the run.
            rank: This process.
            world_size: Processes.
            batch_size: Samples of a batch of one rank.
            global_batch: Samples of an optimizer step over all ranks.
            start: Where the training begins or continues.
        """
        super().__init__(range(size), num_replicas=world_size, rank=rank, seed=seed)  # type: ignore[arg-type]
        self._size = size
        self._per_batch = batch_size * world_size
        self._slice = slice(rank * batch_size, (rank + 1) * batch_size)
        self._start = start
        # Whole optimizer steps: Lightning would step on a partial accumulation window, with too small a gradient.
        wanted = max(size, MIN_EFFECTIVE_BATCHES * global_batch)
        self.epoch_samples = -(-wanted // global_batch) * global_batch
        self.epoch = start.epoch

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch, also when this one began in its middle: Lightning counts by it."""
        return self.epoch_samples // self.num_replicas

    def __iter__(self) -> Iterator[Key]:
        """Yield the samples of the epoch that are left for this rank."""
        epoch = self.epoch
        order = self._order(epoch)
        first = self._start.samples if epoch == self._start.epoch else 0
        for batch in range(first, self.epoch_samples, self._per_batch):
            for position in range(batch, batch + self._per_batch)[self._slice]:
                yield Key(int(order[position]), seed_of(self.seed, epoch, position))

    def _order(self, epoch: int) -> np.ndarray:
        """Dataset indices of an epoch, (epoch_samples,) int64: whole passes, each shuffled, the last one cut."""
        generator = np.random.Generator(np.random.PCG64(seed_of(self.seed, epoch)))
        passes = -(-self.epoch_samples // self._size)
        return np.concatenate([generator.permutation(self._size) for _ in range(passes)])[: self.epoch_samples]


class SeededDataset(Dataset[Any]):
    """A dataset whose augmentations depend on the key alone: not on the worker, the prefetching or what came before."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        """Wrap rfdetr's dataset."""
        self._dataset = dataset

    def __len__(self) -> int:
        """Images of the dataset."""
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Key) -> Any:
        """Load and augment a sample with the random generators seeded for it, and put them back afterwards."""
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        random.seed(key.seed)
        np.random.seed(key.seed % 2**32)
        torch.default_generator.manual_seed(key.seed)
        try:
            return self._dataset[key.image]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


class _ResumableLoader(DataLoader[Any]):
    """Tells Lightning that the loader can be resumed; the state itself is in the data module."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def _in_own_group(worker_init_fn: Callable[[int], None] | None, worker: int) -> None:
    leave_group()
    if worker_init_fn is not None:
        worker_init_fn(worker)


class ExactDataModule(RFDETRDataModule):
    """rfdetr's data module with a training loader that continues where a checkpoint was made.

    The processes of its loaders go on when their rank is told to stop, until it has saved.
    """

    def __init__(self, model_config: ModelConfig, train_config: TrainConfig, start: Position) -> None:
        """Build rfdetr's data module.

        Args:
            model_config: rfdetr's model config.
            train_config: rfdetr's training config; its seed decides order and augmentations.
            start: Where the training begins or continues. Not restored by Lightning from the checkpoint, which would
                come too late: the loader is built while the optimizer is configured.
        """
        super().__init__(model_config, train_config)
        self._start = start

    def train_dataloader(self) -> DataLoader[Any]:
        """Build the loader; rfdetr's own draws the order from the global generator."""
        dataset = self._require_dataset(self._dataset_train, "fit")
        trainer = self.trainer
        assert trainer is not None and isinstance(self.train_config.seed, int)
        batch_size = self._resolve_batch_size()
        sampler = ExactSampler(
            len(dataset),  # type: ignore[arg-type]
            seed=self.train_config.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            batch_size=batch_size,
            global_batch=batch_size * trainer.accumulate_grad_batches * trainer.world_size,
            start=self._start,
        )
        return _ResumableLoader(
            SeededDataset(dataset),
            batch_size=batch_size,
            sampler=sampler,
            drop_last=True,
            collate_fn=self._collate_fn_train,
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            persistent_workers=self._persistent_workers,
            prefetch_factor=self._prefetch_factor,
            worker_init_fn=partial(_in_own_group, None),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Build rfdetr's loader."""
        loader = super().val_dataloader()
        loader.worker_init_fn = partial(_in_own_group, loader.worker_init_fn)
        return loader
