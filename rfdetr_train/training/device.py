"""Whether the devices that a training asks for are there."""

from __future__ import annotations

from rfdetr_train.errors import ParameterError


def check_device(device: str, processes: int) -> None:
    """Check that this node has a device for each of its processes.

    Args:
        device: ``cuda``, ``cpu`` or ``mps``.
        processes: Training processes of this node.

    Raises:
        ParameterError: When it has fewer.
    """
    if device == "cpu":
        return
    import torch

    found = torch.cuda.device_count() if device == "cuda" else int(torch.backends.mps.is_available())
    if found < processes:
        raise ParameterError(
            f"device: {device} was asked for with {processes} process(es) on this node, but it has {found} such "
            "device(s). Give device=cpu, or a gpus_per_node that the node has."
        )
