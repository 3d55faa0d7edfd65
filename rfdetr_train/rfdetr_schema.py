"""What rfdetr accepts, without importing it: resolutions and the arguments of ``extra_train_args``.

Parameters are validated where there is no torch (a CI job, the CPU image), before a GPU is requested, so the schemas
of the pinned rfdetr are kept in ``rfdetr_schema.json``. ``python -m rfdetr_train.rfdetr_schema`` writes that file
from the installed rfdetr; a test fails when it is stale.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("rfdetr_schema.json")

# docs/parameters.md follows RF-DETR's own page, which allows multiples of 56 whatever the model.
DOCUMENTED_BLOCK = 56

# Arguments that this library decides from the data, the launcher or another parameter.
RESERVED = {
    "num_classes": "it is read from the dataset",
    "class_names": "they are read from the dataset",
    "dataset_file": "the dataset is always converted to COCO first",
    "accelerator": "it follows `device`",
    "devices": "it follows `gpus_per_node`",
    "strategy": "it follows the number of processes",
    "mlflow": "MLflow is always on; set MLFLOW_TRACKING_URI",
    "clearml": "rfdetr does not implement it",
    "progress_bar": "progress is reported by rfdetr-train itself",
    "eval_base_model": "checkpoint_best_regular.pth needs it and it follows `use_ema`",
    "eval_ema_only": "checkpoint_best_regular.pth needs the base model evaluated",
    "dont_save_weights": "a run without checkpoints cannot be resumed",
    "run_test": "the evaluation step scores the test split",
    "model_name": "it follows `model`",
}


@cache
def load() -> dict[str, Any]:
    """The schemas: ``train`` and ``models.<name>``, each with ``properties`` and ``$defs``."""
    loaded: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def class_name(model: str) -> str:
    """Name of a variant's class in rfdetr, as checkpoints name it: ``RFDETRNano`` for ``nano``."""
    return f"RFDETR{model.capitalize()}"


def block_of(model: str, extra_train_args: dict[str, Any]) -> int:
    """Pixels that the resolution must be a multiple of: patch size x windows of the model as configured."""
    properties = load()["models"][model]["properties"]
    patch_size, num_windows = (
        int(extra_train_args.get(name, properties[name]["default"])) for name in ("patch_size", "num_windows")
    )
    return patch_size * num_windows


def resolve_resolution(model: str, resolution: int | None, extra_train_args: dict[str, Any]) -> int:
    """Input size in pixels that the model runs at.

    Args:
        model: Variant name.
        resolution: What was asked for; None for the model's own default.
        extra_train_args: May change the model's patch size or windows.

    Returns:
        The resolution itself when the model's block divides it; the next multiple of the block when the documented
        block (56) divides it but the model's own does not.

    Raises:
        ValueError: Naming the two nearest valid values.
    """
    block = block_of(model, extra_train_args)
    wanted = int(load()["models"][model]["properties"]["resolution"]["default"]) if resolution is None else resolution
    if wanted % block == 0:
        return wanted
    lower, upper = wanted // block * block, (wanted // block + 1) * block
    if wanted % DOCUMENTED_BLOCK == 0:
        return upper
    nearest = f"{lower}, {upper}" if lower else f"{upper}"
    raise ValueError(
        f"resolution: {wanted} does not fit model {model!r} (it must be a multiple of {block}: patch size x windows). "
        f"Nearest valid values: {nearest}"
    )


def check_extra_train_args(extra: dict[str, Any], model: str, *, owned: set[str]) -> None:
    """Check ``extra_train_args`` against the schemas of the pinned rfdetr.

    Args:
        extra: Argument values by name.
        model: Variant, whose ModelConfig is used.
        owned: Names that are parameters of their own and do not belong here.

    Raises:
        ValueError: Naming the first argument that is unknown, reserved, given twice or of the wrong type.
    """
    from jsonschema import Draft202012Validator

    for name, value in extra.items():
        if name in owned:
            raise ValueError(f"extra_train_args: {name!r} is a parameter of its own; give it there")
        if name in RESERVED:
            raise ValueError(f"extra_train_args: {name!r} cannot be set: {RESERVED[name]}")
        schema = _schema_of(name, model)
        problem = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
        if problem is not None:
            raise ValueError(f"extra_train_args: {name}={value!r} is not allowed: {problem.message}")


def is_model_argument(name: str, model: str) -> bool:
    """Whether an extra argument belongs to rfdetr's ModelConfig (else to its TrainConfig)."""
    return name in load()["models"][model]["properties"]


def _schema_of(name: str, model: str) -> dict[str, Any]:
    for schema in (load()["models"][model], load()["train"]):
        if name in schema["properties"]:
            return {**schema["properties"][name], "$defs": schema.get("$defs", {})}
    known = [*load()["models"][model]["properties"], *load()["train"]["properties"]]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"extra_train_args: rfdetr {load()['rfdetr']} has no argument {name!r}{hint}")


def of_installed_rfdetr() -> dict[str, Any]:
    """The same content from the installed rfdetr (imports torch)."""
    from importlib.metadata import version

    from rfdetr.config import TrainConfig

    from rfdetr_train.training.configs import MODEL_CONFIGS

    models = {name: _slim(config.model_json_schema()) for name, config in MODEL_CONFIGS.items()}
    return {"rfdetr": version("rfdetr"), "train": _slim(TrainConfig.model_json_schema()), "models": models}


def _slim(schema: dict[str, Any]) -> dict[str, Any]:
    """Keep what validates; drop the prose and the default of ``device``, which depends on the machine."""
    kept: dict[str, Any] = {key: schema[key] for key in ("properties", "$defs") if key in schema}
    kept["properties"].pop("device", None)
    for field in kept["properties"].values():
        field.pop("description", None)
        field.pop("title", None)
    return kept


def main() -> None:
    """Write the schema file from the installed rfdetr."""
    SCHEMA_FILE.write_text(json.dumps(of_installed_rfdetr(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
