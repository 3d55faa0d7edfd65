"""The parameter contract: what the spec says, what arrives, what is refused and how."""

import re

import pytest

from rfdetr_train.errors import ExitCode, ParameterError
from rfdetr_train.params import RUN_PARAMETERS, TRAINING_PARAMETERS, Parameters, default_of, parse, type_of

ROW = re.compile(r"\| `(\w+)` \| `?(\w+)`? \| (.+?) \| (.+?) \|$", re.M)


def spec_table(shared):
    """The spec's summary table: name -> (type, default, description)."""
    text = (shared / "spec" / "training-parameters.md").read_text()
    return {name: rest for name, *rest in ROW.findall(text.split("## Complete Parameter Reference")[1])}


def spec_detail_tables(shared):
    text = (shared / "spec" / "training-parameters.md").read_text()
    return {name: rest for name, *rest in ROW.findall(text.split("## Complete Parameter Reference")[0])}


def test_names_are_the_22_of_the_spec_in_its_order_of_meaning(shared):
    assert len(TRAINING_PARAMETERS) == 22
    assert set(TRAINING_PARAMETERS) == set(spec_table(shared)) == set(spec_detail_tables(shared))


def test_types_are_those_of_the_spec(shared):
    assert {name: type_of(name) for name in TRAINING_PARAMETERS} == {n: row[0] for n, row in spec_table(shared).items()}


def test_defaults_are_those_of_the_spec(shared):
    unset = {"Required": None, "None": None, "Model-specific": None, "Model-dependent": None}
    for table in (spec_table(shared), spec_detail_tables(shared)):
        for name, (_, written, _) in table.items():
            written = written.strip('`"')
            field = Parameters.model_fields[name]
            ours = None if field.is_required() else field.default
            if written in unset:
                assert ours is None, name
            else:
                assert str(type(ours)(eval(written)) if not isinstance(ours, str) else written) == str(ours), name


def test_descriptions_begin_as_in_the_spec(shared):
    for name, (_, _, description) in spec_table(shared).items():
        ours = Parameters.model_fields[name].description
        assert ours.startswith(description.rstrip(").").replace("None", "")), name


def test_values_survive_as_strings_and_whole_floats():
    parsed = parse({"dataset_dir": "d", "epochs": "12", "batch_size": 8.0, "lr": "5e-5", "use_ema": "false", "run": 7})
    assert (parsed.epochs, parsed.batch_size, parsed.lr, parsed.use_ema, parsed.run) == (12, 8, 5e-5, False, "7")


@pytest.mark.parametrize(("name", "unset"), [("resume", ""), ("project", ""), ("run", ""), ("resolution", 0)])
@pytest.mark.parametrize("as_text", [False, True])
def test_sentinels_mean_not_set(name, unset, as_text):
    parsed = parse({"dataset_dir": "d", name: str(unset) if as_text else unset})
    assert getattr(parsed, name) is None
    assert parsed.as_sent()[name] == unset == default_of(name)


def test_what_is_sent_is_parsed_back_to_the_same():
    parsed = parse({"dataset_dir": "d", "resolution": 640, "extra_train_args": {"num_queries": 100}, "run": "a"})
    assert parse(parsed.as_sent()) == parsed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": 0}, "epochs: 0 is not allowed; wanted at least 1. Nearest valid value: 1."),
        ({"epochs": "2.5"}, "epochs: '2.5' is not allowed; wanted a whole number. Nearest valid values: 2, 3."),
        ({"epochs": True}, "epochs: True is not allowed; wanted a number, not true or false."),
        ({"resolution": False}, "resolution: False is not allowed; wanted a number, not true or false."),
        ({"lr": "fast"}, "lr: 'fast' is not allowed; wanted a finite number."),
        ({"lr": "inf"}, "lr: 'inf' is not allowed; wanted a finite number."),
        ({"lr": 0}, "lr: 0 is not allowed; wanted more than 0."),
        ({"device": "cuda:1"}, "device: 'cuda:1' is not allowed; wanted one of 'cuda', 'cpu' or 'mps'."),
        ({"use_ema": "maybe"}, "use_ema: 'maybe' is not allowed; wanted true or false."),
        ({"model": "meduim"}, "Did you mean 'medium'?"),
        ({"batchsize": 4}, "batchsize: unknown parameter. Did you mean 'batch_size'?"),
        ({"resolution": 600}, "Nearest valid values: 576, 608."),
        ({"resolution": 600}, "it must be a multiple of 32"),
        ({"model": "base", "resolution": 600}, "Nearest valid values: 560, 616."),
        ({"num_nodes": 2}, "num_nodes: 1 is wanted with launcher=pod"),
        ({"early_stopping": True, "early_stopping_use_ema": True, "use_ema": False}, "early_stopping_use_ema: true"),
        ({"extra_train_args": "{"}, "extra_train_args: '{' is not allowed; wanted a JSON object, and this is not JSON"),
        ({"extra_train_args": {"num_querys": 1}}, "has no argument 'num_querys'; did you mean 'num_queries'?"),
        ({"extra_train_args": {"num_queries": "many"}}, "num_queries='many' is not allowed"),
        ({"extra_train_args": {"lr": 1.0}}, "'lr' is a parameter of its own"),
        ({"extra_train_args": {"num_classes": 3}}, "'num_classes' cannot be set: it is read from the dataset"),
        ({"dataset_dir": ""}, "dataset_dir: '' is not allowed; wanted text that is not empty."),
    ],
)
def test_mistake_is_named_with_value_range_and_way_out(given, says):
    with pytest.raises(ParameterError, match=re.escape(says)) as caught:
        parse({"dataset_dir": "d", **given})
    assert caught.value.exit_code == ExitCode.BAD_PARAMETERS
    assert "See docs/parameters.md" in str(caught.value)


def test_missing_dataset_dir_is_named():
    with pytest.raises(ParameterError, match="dataset_dir: required, but not given"):
        parse({})


def test_every_mistake_is_named_at_once():
    with pytest.raises(ParameterError) as caught:
        parse({"dataset_dir": "d", "epochs": 0, "lr": -1, "modle": "nano"})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["epochs", "lr", "modle"]


@pytest.mark.parametrize(
    ("model", "asked", "runs_at"),
    [("medium", None, 576), ("medium", 560, 576), ("medium", 784, 800), ("base", 560, 560), ("nano", 384, 384)],
)
def test_resolution_of_the_spec_runs_at_the_next_multiple_of_the_block(model, asked, runs_at):
    parsed = parse({"dataset_dir": "d", "model": model, "resolution": asked})
    assert parsed.effective_resolution == runs_at
    assert bool(parsed.notes) == (asked not in (None, runs_at))


def test_block_follows_the_windows_that_are_asked_for():
    parsed = parse({"dataset_dir": "d", "model": "nano", "resolution": 96, "extra_train_args": {"num_windows": 1.0}})
    assert parsed.effective_resolution == 96


def test_effective_batch_size_counts_accumulation_and_processes():
    parsed = parse({"dataset_dir": "d", "batch_size": 2, "grad_accum_steps": 3, "gpus_per_node": 4})
    assert parsed.effective_batch_size == 24


def test_gpus_are_asked_for_only_with_cuda():
    assert parse({"dataset_dir": "d", "gpus_per_node": 4}).gpus == 4
    assert parse({"dataset_dir": "d", "gpus_per_node": 4, "device": "cpu"}).gpus == 0


def test_only_dataset_dir_has_no_default():
    names = TRAINING_PARAMETERS + RUN_PARAMETERS
    assert [name for name in names if default_of(name) is None] == ["dataset_dir"]
