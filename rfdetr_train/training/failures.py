"""Failures of a rank that have a known cause and a known remedy. Imports no torch."""

from __future__ import annotations

import os

from rfdetr_train.params import Parameters

SHARED_MEMORY = "/dev/shm"


def out_of_memory(parameters: Parameters, error: BaseException) -> str:
    """Say how the same effective batch fits into less memory."""
    batch, accumulation = parameters.batch_size, parameters.grad_accum_steps
    smaller = next((size for size in range(batch // 2, 0, -1) if batch % size == 0), 0)
    proposal = f"batch_size={smaller} grad_accum_steps={accumulation * batch // smaller}, or " if smaller else ""
    return (
        f"batch_size: {batch} does not fit in the memory of the device ({str(error)[:200]}). "
        f"The same effective batch with less memory: {proposal}gradient_checkpointing=true; or a smaller resolution "
        f"than {parameters.effective_resolution}."
    )


def killed_loader(error: BaseException) -> BaseException | None:
    """Find, behind an error, torch's word that a data loading process died; None when there is none.

    Torch raises it from a signal handler, so wherever the training happens to be: what reaches us may be the error of
    a function that it interrupted (seen: ValueError of inspect.signature).
    """
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen)
        if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def shared_memory_too_small(parameters: Parameters, error: BaseException) -> str:
    """Name the shared memory and the parameter that needs less of it."""
    return (
        f"num_workers: a data loading process was killed ({str(error).splitlines()[0][:160]}). Batches pass through "
        f"{SHARED_MEMORY}, which has {_megabytes(SHARED_MEMORY)} MB here; the pipeline mounts a memory-backed volume "
        f"there. Mount one, or lower num_workers (it is {parameters.num_workers}) or batch_size, or give the pod more "
        "memory."
    )


def _megabytes(path: str) -> int:
    try:
        status = os.statvfs(path)
    except OSError:
        return 0
    return status.f_blocks * status.f_frsize // 2**20


def shared_memory_notes(parameters: Parameters) -> list[str]:
    """Say when the batches that wait to be trained on will not fit into shared memory."""
    side = parameters.effective_resolution
    # Two batches wait for each process (PyTorch's prefetch_factor): images in float32 and their masks.
    batch = parameters.batch_size * side * side * (3 * 4 + 1)
    wanted = 2 * parameters.num_workers * parameters.gpus_per_node * batch // 2**20
    found = _megabytes(SHARED_MEMORY)
    if not parameters.num_workers or wanted <= found:
        return []
    return [
        f"num_workers: {parameters.num_workers} data loading processes may need {wanted} MB of {SHARED_MEMORY}, which "
        f"has {found} MB; they die when it is full. Mount a memory-backed volume there, or lower num_workers."
    ]
