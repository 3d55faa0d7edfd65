"""Shared fixtures: a small drawn dataset, and an encoder small enough to train in seconds."""

import os
from pathlib import Path

import pytest

# Several tests run at a time, and the models are small: more threads only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure():
    """Begin what all test processes share in the first of them, which outlives the others."""
    import run_wide

    run_wide.begin()


def pytest_xdist_auto_num_workers():
    """Take one test process more than there are cores, since many tests wait for servers."""
    return min(len(os.sched_getaffinity(0)), 3) + 1


def pytest_collection_modifyitems(items):
    """Begin with the modules that take minutes, so that short ones fill up the end."""
    folders = ("pipelines", "tests/training", "tests/faults", "")
    places = [Path(__file__).parent / folder for folder in folders]
    items.sort(key=lambda item: next(n for n, place in enumerate(places) if item.path.is_relative_to(place)))


SHARED = Path(__file__).resolve().parents[1] / "shared"


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_machine(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "RFDETR_STATUS_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared():
    """Folder of the contract and the real data, which is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with the contract and the real dataset is not beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """YOLO dataset of drawn shapes: 20 train, 6 valid, 6 test images of 64 px, 2 classes."""
    from rfdetr_train.datasets.sample import make_sample

    folder = tmp_path_factory.mktemp("shapes") / "yolo"
    make_sample(folder, train=20, valid=6, test=6, size=64)
    return folder


@pytest.fixture(scope="session")
def prepared(shapes, tmp_path_factory):
    """The shapes as the pipeline hands them to the training: COCO annotations and a manifest."""
    from rfdetr_train.datasets import convert

    folder = tmp_path_factory.mktemp("prepared") / "dataset"
    convert(str(shapes), folder, target="coco", images="reference")
    return folder


@pytest.fixture(scope="session")
def staged(prepared, tmp_path_factory):
    """The shapes as the workers read them."""
    from rfdetr_train.datasets import stage

    return stage(prepared, tmp_path_factory.mktemp("staged") / "dataset")


@pytest.fixture(scope="session")
def tiny_encoder():
    """Patch a 0.6 M parameter encoder into rfdetr, here and in the ranks, which come from a zygote (tests only)."""
    import tiny_encoder
    import zygote

    from rfdetr_train.launch import torchrun

    with pytest.MonkeyPatch.context() as patch:
        tiny_encoder.install(patch.setattr)
        patch.setattr(torchrun, "start", zygote.Agent)
        patch.setattr(torchrun, "WORKER", "tiny_worker")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "tests" / "support"))
        yield


@pytest.fixture(scope="session")
def make_parameters(shapes, tiny_encoder):
    """Parameters of a training of seconds; keyword arguments replace them."""
    from tiny_encoder import MODEL_ARGUMENTS

    from rfdetr_train.params import parse

    def make(**changes):
        values = {
            "dataset_dir": str(shapes),
            "model": "nano",
            "pretrain_weights": "none",
            "device": "cpu",
            "resolution": 64,
            "epochs": 2,
            "batch_size": 2,
            "grad_accum_steps": 1,
            "num_workers": 0,
            "tensorboard": False,
            "extra_train_args": MODEL_ARGUMENTS,
        }
        return parse({**values, **changes})

    return make


@pytest.fixture(scope="session")
def trained(make_parameters, prepared, tmp_path_factory):
    """A finished training of three epochs in one process under torchrun: its parameters and its result."""
    from rfdetr_train.launch.training import train

    output = tmp_path_factory.mktemp("trained") / "output"
    parameters = make_parameters(
        output_dir=str(output),
        epochs=3,
        checkpoint_interval=2,
        tensorboard=True,
        run="first",
        lr=5e-4,
        lr_encoder=5e-4,
        early_stopping=True,
    )
    return parameters, train(parameters, prepared)
