"""The contract against the installed rfdetr: these fail when an upgrade changes what we translate to."""

from typing import get_args

import pytest
from rfdetr.config import ModelConfig, TrainConfig

from rfdetr_train.params import TRAINING_PARAMETERS, ModelName, parse
from rfdetr_train.rfdetr_schema import RESERVED, SCHEMA_FILE, class_name, load, of_installed_rfdetr
from rfdetr_train.training.configs import MODEL_CONFIGS, SAME_IN_TRAIN_CONFIG, build_configs
from rfdetr_train.training.effective_batch import MIN_EFFECTIVE_BATCHES

# Where rfdetr keeps what its TrainConfig does not have under the same name.
TRANSLATED = {"device": "accelerator", "resolution": "resolution", "gradient_checkpointing": "gradient_checkpointing"}
# What the spec says and rfdetr 1.11.2 has changed.
OTHER_DEFAULT = {"grad_accum_steps": (4, 1)}


def test_schema_file_is_that_of_the_installed_rfdetr():
    assert load() == of_installed_rfdetr(), f"{SCHEMA_FILE.name} is stale: run python -m rfdetr_train.rfdetr_schema"


def test_every_training_parameter_has_a_place_in_rfdetr():
    fields = set(TrainConfig.model_fields) | set(ModelConfig.model_fields)
    assert {TRANSLATED.get(name, name) for name in TRAINING_PARAMETERS} <= fields
    assert set(SAME_IN_TRAIN_CONFIG) <= set(TrainConfig.model_fields)


def test_smallest_epoch_is_that_of_rfdetr():
    from rfdetr.training import module_data

    assert module_data._MIN_TRAIN_BATCHES == MIN_EFFECTIVE_BATCHES


def test_reserved_arguments_exist():
    assert set(RESERVED) <= set(TrainConfig.model_fields) | set(ModelConfig.model_fields)


@pytest.mark.parametrize("name", sorted(set(SAME_IN_TRAIN_CONFIG) & set(TRAINING_PARAMETERS)))
def test_default_differs_from_rfdetr_only_where_the_spec_wants_it(name):
    ours, theirs = getattr(parse({"dataset_dir": "d"}), name), TrainConfig.model_fields[name].default
    assert (ours, theirs) == OTHER_DEFAULT.get(name, (theirs, theirs))


def test_model_names_are_those_of_the_classes_of_rfdetr():
    names = {name: config.__name__.removesuffix("Config") for name, config in MODEL_CONFIGS.items()}
    assert names == {name: class_name(name) for name in get_args(ModelName)}


@pytest.mark.parametrize("model", MODEL_CONFIGS)
def test_configs_carry_every_value(model, tmp_path):
    parsed = parse(
        {
            "dataset_dir": "d",
            "output_dir": str(tmp_path / "out"),
            "model": model,
            "resolution": 672,
            "pretrain_weights": "none",
            "gradient_checkpointing": True,
            "device": "cpu",
            "epochs": 7,
            "seed": 3,
            "extra_train_args": {"num_queries": 120.0, "warmup_epochs": 2},
        }
    )
    model_config, train_config = build_configs(parsed, dataset_dir=tmp_path, num_classes=5, devices=2, num_nodes=1)
    assert type(model_config) is MODEL_CONFIGS[model]
    assert (model_config.num_classes, model_config.resolution, model_config.num_queries) == (5, 672, 120)
    assert (model_config.pretrain_weights, model_config.gradient_checkpointing) == (None, True)
    assert (train_config.epochs, train_config.seed, train_config.warmup_epochs) == (7, 3, 2)
    assert (train_config.accelerator, train_config.devices, train_config.strategy) == ("cpu", 2, "ddp")
    assert (train_config.dataset_dir, train_config.output_dir) == (str(tmp_path), str(tmp_path / "out"))
    assert train_config.eval_base_model is True


def test_official_weights_are_the_default(tmp_path):
    model_config, _ = build_configs(
        parse({"dataset_dir": "d"}), dataset_dir=tmp_path, num_classes=5, devices=1, num_nodes=1
    )
    assert model_config.pretrain_weights == "rf-detr-medium.pth" or str(model_config.pretrain_weights).endswith(
        "rf-detr-medium.pth"
    )
