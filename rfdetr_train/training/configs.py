"""From our parameters to rfdetr's own two configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rfdetr.config import (
    ModelConfig,
    RFDETRBaseConfig,
    RFDETRLargeConfig,
    RFDETRMediumConfig,
    RFDETRNanoConfig,
    RFDETRSmallConfig,
    TrainConfig,
)

from rfdetr_train.errors import ParameterError
from rfdetr_train.params import Parameters
from rfdetr_train.rfdetr_schema import class_name, is_model_argument

MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    "nano": RFDETRNanoConfig,
    "small": RFDETRSmallConfig,
    "medium": RFDETRMediumConfig,
    "base": RFDETRBaseConfig,
    "large": RFDETRLargeConfig,
}
ACCELERATORS = {"cuda": "gpu", "cpu": "cpu", "mps": "mps"}

# The parameters that rfdetr's TrainConfig has under the same name and that need no translation.
SAME_IN_TRAIN_CONFIG = (
    "epochs",
    "batch_size",
    "grad_accum_steps",
    "resume",
    "lr",
    "lr_encoder",
    "weight_decay",
    "use_ema",
    "checkpoint_interval",
    "tensorboard",
    "wandb",
    "project",
    "run",
    "early_stopping",
    "early_stopping_patience",
    "early_stopping_min_delta",
    "early_stopping_use_ema",
    "seed",
    "num_workers",
)


def build_configs(
    parameters: Parameters, *, dataset_dir: Path, num_classes: int, devices: int, num_nodes: int
) -> tuple[ModelConfig, TrainConfig]:
    """Build the pair of configs that rfdetr's training pieces take.

    Args:
        parameters: The validated parameters.
        dataset_dir: Staged COCO dataset in Roboflow layout.
        num_classes: Classes of the dataset; explicit, so that the 90-class head of the official weights is cut to it.
        devices: Processes of this node, as torchrun says.
        num_nodes: Nodes, as torchrun says.

    Raises:
        ParameterError: When rfdetr refuses a value.
    """
    try:
        return (
            build_model_config(parameters, num_classes=num_classes),
            build_train_config(parameters, dataset_dir=dataset_dir, devices=devices, num_nodes=num_nodes),
        )
    except ValidationError as error:
        # Rules that rfdetr has in code and not in its schema, such as eval_batch_size >= 1.
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise ParameterError(f"extra_train_args: rfdetr does not accept them: {problems}.") from None


def build_model_config(parameters: Parameters, *, num_classes: int) -> ModelConfig:
    """Build the ModelConfig of the chosen variant."""
    config_class = MODEL_CONFIGS[parameters.model]
    arguments: dict[str, Any] = {
        "resolution": parameters.effective_resolution,
        "gradient_checkpointing": parameters.gradient_checkpointing,
        "device": parameters.device,
        "num_classes": num_classes,
        "model_name": class_name(parameters.model),
    }
    if parameters.pretrain_weights:
        arguments["pretrain_weights"] = None if parameters.pretrain_weights == "none" else parameters.pretrain_weights
    return config_class(**arguments, **_extra(parameters, for_model=True))


def build_train_config(parameters: Parameters, *, dataset_dir: Path, devices: int, num_nodes: int) -> TrainConfig:
    """Build the TrainConfig; what torchrun decides comes from torchrun."""
    arguments = {name: getattr(parameters, name) for name in SAME_IN_TRAIN_CONFIG}
    return TrainConfig(
        **arguments,
        dataset_dir=str(dataset_dir),
        output_dir=str(Path(parameters.output_dir).absolute()),
        accelerator=ACCELERATORS[parameters.device],
        devices=devices,
        num_nodes=num_nodes,
        # rfdetr's default, one device, trains a copy of its own in every rank (seen: world size 1 twice, no error).
        strategy="ddp" if devices * num_nodes > 1 else "auto",
        # Without it rfdetr scores only the EMA model: checkpoint_best_regular.pth is not written and
        # early_stopping_use_ema has no effect.
        eval_base_model=parameters.use_ema,
        **_extra(parameters, for_model=False),
    )


def _extra(parameters: Parameters, *, for_model: bool) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.extra_train_args.items()
        if is_model_argument(name, parameters.model) == for_model
    }
