"""Open checkpoints without running what they hold.

Everything is loaded with ``weights_only=True``: a checkpoint that needs more is refused, there is no pickle fallback.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfdetr_train.errors import CheckpointError

COMPLETED_EPOCHS = "completed_epochs"  # added to checkpoint_best_total.pth, which rfdetr strips of its epoch


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself."""

    model_name: str
    classes: list[str]
    epoch: int | None
    model_config: dict[str, Any]


def load(path: Path, *, parameter: str) -> dict[str, Any]:
    """Load a checkpoint, memory-mapped, tensors on the CPU.

    Args:
        path: The file.
        parameter: Name of the parameter that named it, for the error.

    Raises:
        CheckpointError: When it is missing, no checkpoint, or holds more than tensors and plain values.
    """
    import torch

    if not path.is_file():
        raise CheckpointError(f"{parameter}: {path} does not exist; wanted a checkpoint file. Check the path.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # torch reports a damaged file and a forbidden class with many types (seen: RuntimeError, UnpicklingError,
    # EOFError, ValueError); whatever it is, the file is not to be used.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{parameter}: {path} is not a checkpoint that can be loaded safely ({reason[:200]}). "
            "Wanted a file that torch.load(weights_only=True) accepts; files that need unpickling are refused."
        ) from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{parameter}: {path} holds a {type(loaded).__name__}; wanted a checkpoint.")
    return loaded


def describe(loaded: dict[str, Any], path: Path, *, parameter: str) -> CheckpointInfo:
    """Read model, classes and epoch of a checkpoint that rfdetr or this library wrote.

    Args:
        loaded: Its content, from :func:`load`.
        path: The file, for the error.
        parameter: Name of the parameter that named it, for the error.

    Raises:
        CheckpointError: When it does not name its model.
    """
    config = loaded.get("model_config")
    if not isinstance(config, dict) or "model_name" not in loaded:
        raise CheckpointError(
            f"{parameter}: {path} does not say which model it holds (no model_name, model_config). "
            "Wanted a checkpoint written by rfdetr 1.11 or rfdetr-train."
        )
    classes = (loaded.get("args") or {}).get("class_names") or []
    return CheckpointInfo(str(loaded["model_name"]), list(classes), completed_epochs(loaded), config)


def completed_epochs(loaded: dict[str, Any]) -> int | None:
    """Epochs of training behind a checkpoint; None when it does not say."""
    if COMPLETED_EPOCHS in loaded:
        return int(loaded[COMPLETED_EPOCHS])
    if loaded.get("optimizer_states"):
        return int(loaded["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    # rfdetr writes its best files during the validation of epoch "epoch", counted from 0.
    return int(loaded["epoch"]) + 1 if "epoch" in loaded else None
