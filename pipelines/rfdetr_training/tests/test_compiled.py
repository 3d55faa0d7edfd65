"""The compiled pipeline: current, complete, and with the contract's parameters."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from rfdetr_pipelines.compile import PACKAGE, compile_pipeline
from rfdetr_pipelines.components.training.resolve_parameters import resolve_parameters
from rfdetr_pipelines.rfdetr_training.pipeline import rfdetr_training
from rfdetr_train.params import RUN_PARAMETERS, TRAINING_PARAMETERS, Parameters, default_of

CONTRACT = TRAINING_PARAMETERS + RUN_PARAMETERS
TYPES = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", bool: "BOOLEAN", dict: "STRUCT"}


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all(PACKAGE.read_text()))


def dags(document):
    yield document["root"]
    yield from (component for component in document["components"].values() if "dag" in component)


def test_committed_yaml_is_what_the_code_compiles_to(tmp_path):
    compile_pipeline(tmp_path / "a.yaml")
    assert (tmp_path / "a.yaml").read_bytes() == PACKAGE.read_bytes(), "stale: run 'make compile'"


def test_compiling_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        compile_pipeline(tmp_path / f"{name}.yaml")
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()


def test_parameters_are_the_contract_by_name_type_and_default(documents):
    inputs = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == set(CONTRACT)
    for name, definition in inputs.items():
        default = default_of(name)
        assert definition["parameterType"] == TYPES[str if default is None else type(default)], name
        assert definition.get("defaultValue") == default, name
        assert " ".join(definition["description"].split()) == Parameters.model_fields[name].description, name


@pytest.mark.parametrize("function", [rfdetr_training.pipeline_func, resolve_parameters.python_func])
def test_signatures_list_the_contract_in_its_order(function):
    names = [name for name in inspect.signature(function).parameters if name != "plan"]
    assert names == list(CONTRACT)


def test_every_input_that_a_group_uses_is_declared_by_it(documents):
    """KFP 2.17 forgets channels of resource setters inside groups; the run then fails on the cluster only."""
    checked = 0
    for dag in dags(documents[0]):
        declared = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        for task in dag["dag"]["tasks"].values():
            for source in task.get("inputs", {}).get("parameters", {}).values():
                if "componentInputParameter" in source:
                    assert source["componentInputParameter"] in declared
                    checked += 1
    assert checked > len(CONTRACT)


def test_every_placeholder_of_a_resource_is_an_input_of_its_task(documents):
    executors = documents[0]["deploymentSpec"]["executors"]
    for name in ("train-rfdetr", "evaluate-detector"):
        resources = yaml.dump(executors[f"exec-{name}"]["container"]["resources"])
        group = next(dag for dag in dags(documents[0]) if name in dag["dag"]["tasks"])
        given = group["dag"]["tasks"][name]["inputs"]["parameters"]
        for channel in ("pipelinechannel--cpu", "pipelinechannel--memory", "pipelinechannel--resolve-parameters-gpus"):
            assert channel in resources
            assert channel in given


def test_caching_is_decided_for_every_task_and_only_the_conversion_is_cached(documents):
    cached = {
        name: task["cachingOptions"].get("enableCache", False)
        for dag in dags(documents[0])
        for name, task in dag["dag"]["tasks"].items()
        if not name.startswith("exit-handler")
    }
    assert [name for name, value in cached.items() if value] == ["convert-dataset"]
    assert len(cached) == 6


def test_parameters_are_resolved_before_data_is_read_and_gpus_are_asked_for(documents):
    group = next(dag for dag in dags(documents[0]) if "train-rfdetr" in dag["dag"]["tasks"])
    tasks = group["dag"]["tasks"]
    assert tasks["detect-dataset"]["dependentTasks"] == ["resolve-parameters"]
    assert {"convert-dataset", "resolve-parameters"} <= set(tasks["train-rfdetr"]["dependentTasks"])


def test_training_and_nothing_else_is_retried_and_for_as_long_as_a_training_may_take(documents):
    retried = {
        name: task["retryPolicy"]
        for dag in dags(documents[0])
        for name, task in dag["dag"]["tasks"].items()
        if "retryPolicy" in task
    }
    policy = retried.pop("train-rfdetr")
    assert not retried
    assert policy["maxRetryCount"] == 8
    assert (policy["backoffDuration"], policy["backoffFactor"]) == ("15s", 2)
    # To Argo the time of all attempts together, from the start of the first; KFP's default of an hour is too short.
    assert policy["backoffMaxDuration"] == f"{30 * 24 * 3600}s"


def test_training_is_told_the_run_that_all_its_retries_share(documents):
    group = next(dag for dag in dags(documents[0]) if "train-rfdetr" in dag["dag"]["tasks"])
    given = group["dag"]["tasks"]["train-rfdetr"]["inputs"]["parameters"]["kfp_run_id"]
    # The one form that the driver replaces: the whole constant.
    assert given == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


def test_credentials_are_references(documents):
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(platform) == 6
    for executor in platform.values():
        (secret,) = executor["secretAsEnv"]
        assert secret["secretName"] == "rfdetr-pipelines"
        assert secret["optional"] is True
        assert all(set(key) == {"secretKey", "envVar"} for key in secret["keyToEnv"])


def test_training_and_evaluation_have_shared_memory(documents):
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in ("train-rfdetr", "evaluate-detector"):
        assert platform[f"exec-{name}"]["emptyDirMounts"] == [
            {"medium": "Memory", "mountPath": "/dev/shm", "volumeName": "dshm"}
        ]


def test_images_are_versioned_and_no_step_installs_packages(documents):
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].rpartition(":")[2] not in ("latest", "")
        assert "pip" not in " ".join(container["command"]).split()


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("components/*/*/component.py")), ids=lambda p: p.parent.name
)
def test_body_of_a_component_calls_the_library_and_stays_short(path):
    name = path.parent.name
    module = importlib.import_module(f"rfdetr_pipelines.components.{path.parent.parent.name}.{name}")
    source = inspect.getsource(getattr(module, name).python_func)
    body = source.rsplit('"""', 1)[1].strip().splitlines()
    assert 0 < len(body) < 30
    assert source.count("from rfdetr_train import steps") == 1
