"""Each of RF-DETR's 22 training parameters changes what a training does or leaves.

Nothing here compares a config field with the parameter that it came from: each test looks at what the training did.
The trainings run in this process, on ten images of 64 px, with the worker's own ``train``.
"""

import json
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import yaml
from click.testing import CliRunner
from pytorch_lightning import Callback
from rfdetr.training import RFDETRModelModule
from rfdetr.training.callbacks.best_model import RFDETREarlyStopping

from rfdetr_train.checkpoints.files import BEST_EMA, BEST_REGULAR, BEST_TOTAL, LATEST
from rfdetr_train.checkpoints.load import describe, load
from rfdetr_train.cli import main
from rfdetr_train.datasets import convert, stage
from rfdetr_train.datasets.sample import make_sample
from rfdetr_train.errors import ExitCode, ParameterError
from rfdetr_train.launch import torchrun
from rfdetr_train.params import TRAINING_PARAMETERS
from rfdetr_train.training import assembly, worker
from rfdetr_train.training.configs import build_configs
from rfdetr_train.training.job import Job, Outcome
from rfdetr_train.training.signals import StopSignal

CLASSES = ["circle", "square"]
IMAGES = 10  # of the train split; with fewer than five effective batches rfdetr would draw from them at random
ENCODER = "backbone.0.encoder."
ALONE = worker.World(rank=0, size=1, local_size=1)


@dataclass
class Recorder(Callback):
    """Sees a training from inside.

    Attributes:
        inputs: Shape of every batch that reached the model in training.
        validation_inputs: The same in validation.
        devices: Types of the devices that those batches were on.
        encoder_passes: How often the first block of the encoder ran in training.
        optimizer_steps: Steps that the optimizer made.
        epochs: Epochs that were begun, from 0.
        start: Weights before the first batch.
        stepped: Weights after the first step of the optimizer.
        end: Weights after the last batch, before rfdetr puts the EMA weights in their place.
        scores: Metrics after each validation.
        completed_epochs: What the worker returned.
    """

    inputs: list = field(default_factory=list)
    validation_inputs: list = field(default_factory=list)
    devices: set = field(default_factory=set)
    encoder_passes: int = 0
    optimizer_steps: int = 0
    epochs: list = field(default_factory=list)
    start: dict = field(default_factory=dict)
    stepped: dict = field(default_factory=dict)
    end: dict = field(default_factory=dict)
    scores: list = field(default_factory=list)
    completed_epochs: int = -1

    __hash__ = object.__hash__

    def on_train_start(self, trainer, pl_module):
        self.start = weights_of(pl_module)

        def see_input(model, args):
            (self.inputs if model.training else self.validation_inputs).append(tuple(args[0].tensors.shape))
            self.devices.add(args[0].tensors.device.type)

        def see_block(block, args):
            self.encoder_passes += block.training

        pl_module.model.register_forward_pre_hook(see_input)
        first = next(m for m in pl_module.model.modules() if type(m).__name__ == "WindowedDinov2WithRegistersLayer")
        first.register_forward_pre_hook(see_block)

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append(trainer.current_epoch)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.optimizer_steps += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.optimizer_steps == 1 and not self.stepped:
            self.stepped = weights_of(pl_module)

    def on_validation_end(self, trainer, pl_module):
        self.scores.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def on_train_epoch_end(self, trainer, pl_module):
        self.end = weights_of(pl_module)

    def first_step(self, *, encoder):
        """Farthest that the first step of the optimizer moved a weight of the encoder, or of the rest."""
        return max(
            float((self.stepped[name] - value).abs().max())
            for name, value in self.start.items()
            if name.startswith(ENCODER) == encoder
        )


def weights_of(module):
    return {name: value.detach().cpu().clone() for name, value in module.model.named_parameters()}


def train_here(job, *callbacks):
    """``worker.train`` in this process, seen by a recorder; leaves the environment as it was."""
    recorder, build = Recorder(), assembly.build_trainer
    # As the launcher leaves it: the output folder is there.
    Path(job.parsed_parameters().output_dir).mkdir(parents=True, exist_ok=True)

    def build_with_recorder(*args, **options):
        trainer = build(*args, **options)
        trainer.callbacks.extend([recorder, *callbacks])
        return trainer

    with mock.patch.object(assembly, "build_trainer", build_with_recorder), mock.patch.dict(os.environ), stop() as told:
        recorder.completed_epochs = worker.train(job, ALONE, told)
    return recorder


@contextmanager
def stop():
    """The worker's own handler of SIGTERM, for as long as it trains here."""
    previous = signal.getsignal(signal.SIGTERM)
    try:
        yield StopSignal()
    finally:
        signal.signal(signal.SIGTERM, previous)


def draw(folder, *, train=IMAGES, classes=CLASSES):
    """Draw a YOLO dataset of so many images, of classes with these names."""
    make_sample(folder, train=train, valid=4, test=1, size=64)
    description = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump({**description, "names": classes}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """So small a model is slower on several threads, and much slower beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    convert(str(draw(folder / "yolo")), folder / "prepared", target="coco", images="reference")
    return stage(folder / "prepared", folder / "staged")


@pytest.fixture(scope="module")
def make_job(make_parameters, dataset_dir, tmp_path_factory):
    """Job of one epoch in steps of one image, in a folder of its own; keyword arguments are parameters."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("training")
        usual = {"output_dir": str(folder / "output"), "epochs": 1, "batch_size": 1}
        parameters = make_parameters(**usual | changes)
        return Job(
            parameters=parameters.as_sent(),
            dataset_dir=str(dataset_dir),
            classes=CLASSES,
            fingerprint="of the ten",
            sequence=0,
            outcome_file=str(folder / "outcome.json"),
        )

    return make


@pytest.fixture(scope="module")
def train(make_job):
    """Train in this process; gives the recorder and the output folder."""

    def run(*callbacks, **changes):
        job = make_job(**changes)
        return train_here(job, *callbacks), Path(job.parsed_parameters().output_dir)

    return run


# Fast enough that the scores are above zero after the first epoch.
USUAL = {"epochs": 2, "checkpoint_interval": 2, "lr": 2e-3, "lr_encoder": 1e-3}


@pytest.fixture(scope="module")
def usual(train):
    """The training that others differ from: two epochs of ten steps, with EMA."""
    return train(**USUAL)


# Adam moves a weight by its learning rate in its first step, whatever the gradient.
STEPPING = {"batch_size": 2, "use_ema": False, "weight_decay": 0.0, "lr": 1e-4, "lr_encoder": 1e-4}


@pytest.fixture(scope="module")
def stepping(train):
    """The training of which the first step of the optimizer is looked at."""
    return train(**STEPPING)[0]


def described(file):
    """What a checkpoint file says of itself."""
    return describe(load(file, parameter="test"), file, parameter="test")


def test_dataset_dir_names_the_images_and_classes_that_are_trained_on(make_parameters, tmp_path, monkeypatch):
    dataset = draw(tmp_path / "dataset", train=7, classes=["coin", "tile"])
    seen = []

    def run(job, **_):
        seen.append(train_here(job))
        return Outcome(ExitCode.DONE, "done", seen[0].completed_epochs)

    monkeypatch.setattr(torchrun, "run", run)
    sent = make_parameters(
        dataset_dir=str(dataset), output_dir=str(tmp_path / "output"), epochs=1, batch_size=1
    ).as_sent()
    sent["extra_train_args"] = json.dumps(sent["extra_train_args"])

    result = CliRunner().invoke(main, ["train", *(f"--{name}={value}" for name, value in sent.items())])

    assert result.exit_code == ExitCode.DONE, result.output
    assert described(tmp_path / "output" / LATEST).classes == ["coin", "tile"]
    assert len(seen[0].inputs) == 7


def test_output_dir_is_where_every_file_lands(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(output_dir="chosen/folder", tensorboard=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path).parts[:2] for path in files} == {("chosen", "folder")}
    assert {LATEST, BEST_EMA, BEST_REGULAR, BEST_TOTAL, "metrics.csv"} <= {path.name for path in files}


def test_epochs_is_how_often_the_data_is_passed(train, usual):
    once, _ = train(epochs=1)
    twice, _ = usual
    assert (once.epochs, once.completed_epochs, len(once.inputs)) == ([0], 1, IMAGES)
    assert (twice.epochs, twice.completed_epochs, len(twice.inputs)) == ([0, 1], 2, 2 * IMAGES)


def test_batch_size_is_the_number_of_images_that_reach_the_model_at_once(train, usual):
    in_pairs, _ = train(batch_size=2)
    assert [shape[0] for shape in in_pairs.inputs] == [2] * (IMAGES // 2)
    assert [shape[0] for shape in usual[0].inputs] == [1] * IMAGES * 2


def test_grad_accum_steps_changes_optimizer_step_count(train, usual):
    accumulated, output = train(grad_accum_steps=2)
    assert (len(accumulated.inputs), accumulated.optimizer_steps) == (IMAGES, IMAGES // 2)
    assert load(output / LATEST, parameter="test")["global_step"] == IMAGES // 2
    assert (len(usual[0].inputs), usual[0].optimizer_steps) == (2 * IMAGES, 2 * IMAGES)


def test_lr_scales_the_step_of_the_model_and_not_of_the_encoder(train, stepping):
    assert stepping.first_step(encoder=False) == pytest.approx(1e-4, rel=0.01)
    faster, _ = train(**STEPPING | {"lr": 3e-4})
    assert faster.first_step(encoder=False) == pytest.approx(3e-4, rel=0.01)
    assert faster.first_step(encoder=True) == pytest.approx(stepping.first_step(encoder=True), rel=0.01)


def test_lr_encoder_scales_the_step_of_the_encoder_and_not_of_the_rest(train, stepping):
    faster, _ = train(**STEPPING | {"lr_encoder": 3e-4})
    assert faster.first_step(encoder=True) == pytest.approx(3 * stepping.first_step(encoder=True), rel=0.01)
    assert faster.first_step(encoder=False) == pytest.approx(stepping.first_step(encoder=False), rel=0.01)


def test_resolution_is_the_size_of_the_images_that_reach_the_model(train, usual):
    larger, output = train(resolution=96)
    assert {shape[1:] for shape in larger.inputs + larger.validation_inputs} == {(3, 96, 96)}
    assert described(output / LATEST).model_config["resolution"] == 96
    assert {shape[1:] for shape in usual[0].inputs + usual[0].validation_inputs} == {(3, 64, 64)}


def test_weight_decay_shrinks_the_weights_by_its_share_of_the_learning_rate(train, stepping):
    decayed, _ = train(**STEPPING | {"weight_decay": 50.0})
    name = "class_embed.weight"
    assert torch.equal(decayed.start[name], stepping.start[name])
    shrunk = stepping.stepped[name] - decayed.stepped[name]
    torch.testing.assert_close(shrunk, 50.0 * 1e-4 * stepping.start[name], rtol=1e-2, atol=1e-7)
    assert float(shrunk.abs().max()) > 1e-4


AVAILABLE = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", AVAILABLE)
def test_device_is_where_training_runs_or_is_refused(make_job, device):
    job = make_job(device=device)
    if AVAILABLE[device]:
        assert train_here(job).devices == {device}
    else:
        with pytest.raises(ParameterError, match=f"device: {device} was asked for .* it has 0 such"):
            train_here(job)


def test_use_ema_adds_the_averaged_model_its_scores_and_its_checkpoint(train, usual):
    with_ema, output = usual
    averaged = load(output / BEST_EMA, parameter="test")["model"]
    raw = load(output / BEST_REGULAR, parameter="test")["model"]
    assert any(not torch.equal(averaged[name], value) for name, value in raw.items())
    assert "val/ema_mAP_50_95" in with_ema.scores[0]

    without, output = train(use_ema=False)
    assert not (output / BEST_EMA).exists()
    assert not [name for name in without.scores[0] if "ema" in name]


def test_gradient_checkpointing_runs_the_encoder_again_in_the_backward_pass(train, usual):
    plain, _ = usual
    again, _ = train(**USUAL, gradient_checkpointing=True)
    assert plain.encoder_passes == len(plain.inputs) == 2 * IMAGES
    assert again.encoder_passes == 2 * len(again.inputs) == 4 * IMAGES
    for name, value in plain.end.items():
        torch.testing.assert_close(again.end[name], value, rtol=0, atol=1e-5)


def test_checkpoint_interval_chooses_the_epochs_that_are_kept(train, usual):
    _, every_epoch = train(epochs=2, checkpoint_interval=1)
    _, every_second = usual
    assert {path.name for path in every_epoch.glob("checkpoint_[0-9]*")} == {"checkpoint_1.pth", "checkpoint_2.pth"}
    assert {path.name for path in every_second.glob("checkpoint_[0-9]*")} == {"checkpoint_2.pth"}


def test_resume_starts_at_the_epoch_and_the_weights_of_the_checkpoint(train, usual):
    before, output = usual
    resumed, _ = train(epochs=3, resume=str(output / LATEST))
    assert (before.epochs, resumed.epochs) == ([0, 1], [2])
    assert resumed.completed_epochs == 3
    assert all(torch.equal(resumed.start[name], value) for name, value in before.end.items())


def test_tensorboard_writes_its_events_with_the_scores(train, usual):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, output = train(tensorboard=True)
    (events,) = output.glob("events.out.tfevents.*")
    scalars = EventAccumulator(str(events)).Reload().Tags()["scalars"]
    assert {"train/loss", "val/mAP_50_95"} <= set(scalars)
    assert not list(usual[1].glob("events.out.tfevents.*"))


@pytest.fixture(scope="module")
def wandb_run(train, tmp_path_factory):
    """Project and name under which W&B ran in a training, and the output folder; no server is asked."""
    import wandb

    seen = SimpleNamespace()

    class Watch(Callback):
        def on_train_end(self, trainer, pl_module):
            seen.project, seen.name = (getattr(wandb.run, name, None) for name in ("project", "name"))

    home = tmp_path_factory.mktemp("wandb")
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            del os.environ[name]
        os.environ.update({f"WANDB_{name}_DIR": str(home) for name in ("CONFIG", "CACHE", "DATA")})
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
        try:
            _, seen.output_dir = train(Watch(), wandb=True, project="shapes project", run="first try")
        finally:
            wandb.finish()
            wandb.teardown()  # ends its helper process
    return seen


def test_wandb_records_an_offline_run_with_the_scores(wandb_run, usual):
    (record,) = wandb_run.output_dir.glob("wandb/offline-run-*/*.wandb")
    held = record.read_bytes()
    assert b"train/loss" in held
    assert b"val/mAP_50_95" in held
    assert not (usual[1] / "wandb").exists()


def test_project_is_the_project_of_the_wandb_run(wandb_run):
    assert wandb_run.project == "shapes project"


def test_run_is_the_name_of_the_wandb_run(wandb_run):
    assert wandb_run.name == "first try"


# No score can rise by 1, so every epoch after the first is one without improvement.
HOPELESS = {"batch_size": 2, "epochs": 4, "early_stopping_min_delta": 1.0}


@pytest.mark.parametrize(("early_stopping", "epochs"), [(True, 2), (False, 4)])
def test_early_stopping_ends_a_training_that_does_not_improve(train, early_stopping, epochs):
    recorder, _ = train(**HOPELESS, early_stopping=early_stopping, early_stopping_patience=1)
    assert recorder.completed_epochs == len(recorder.epochs) == epochs


def test_early_stopping_patience_is_the_number_of_epochs_that_are_waited(train):
    recorder, _ = train(**HOPELESS, early_stopping=True, early_stopping_patience=2)
    assert recorder.completed_epochs == len(recorder.epochs) == 3


@pytest.fixture(scope="module")
def epochs_until_stop(make_job):
    """Validations after which the trainer that the worker builds stops, given the scores of each."""

    def count(regular, ema, **changes):
        job = make_job(early_stopping=True, early_stopping_patience=1, **changes)
        parameters = job.parsed_parameters()
        configs = build_configs(
            parameters, dataset_dir=Path(job.dataset_dir), num_classes=len(CLASSES), devices=1, num_nodes=1
        )
        module = RFDETRModelModule(*configs)
        Path(parameters.output_dir).mkdir(parents=True)
        with stop() as told:
            built = assembly.Assembly(job, parameters, ALONE, module, told)
        built.watchdog.close()
        trainer = built.trainer
        (early_stopping,) = [callback for callback in trainer.callbacks if isinstance(callback, RFDETREarlyStopping)]
        trainer.state.fn = "fit"
        for validation, scores in enumerate(zip(regular, ema, strict=True), start=1):
            names = ("val/mAP_50_95", "val/ema_mAP_50_95")
            metrics = dict(zip(names, map(torch.tensor, scores), strict=True))
            with mock.patch.object(type(trainer), "callback_metrics", metrics):
                early_stopping.on_validation_end(trainer, module)
            if trainer.should_stop:
                return validation
        return None

    return count


def test_early_stopping_min_delta_is_the_least_that_counts_as_improvement(epochs_until_stop):
    rising = [0.10, 0.13, 0.16, 0.19]
    assert epochs_until_stop(rising, rising, early_stopping_min_delta=0.02) is None
    assert epochs_until_stop(rising, rising, early_stopping_min_delta=0.05) == 2


def test_early_stopping_use_ema_watches_the_ema_model_alone(epochs_until_stop):
    regular, ema = [0.5, 0.6, 0.7], [0.2, 0.2, 0.2]
    assert epochs_until_stop(regular, ema, early_stopping_use_ema=False) is None
    assert epochs_until_stop(regular, ema, early_stopping_use_ema=True) == 2


def test_early_stopping_use_ema_has_two_scores_to_choose_from(usual):
    recorder, _ = usual
    # rfdetr by itself scores the EMA model only and shows its score under both names.
    assert any(scores["val/mAP_50_95"] != scores["val/ema_mAP_50_95"] for scores in recorder.scores)


def test_every_training_parameter_is_shown_here_to_have_an_effect():
    def shown_by(test):
        fitting = [name for name in TRAINING_PARAMETERS if test.startswith(f"test_{name}_")]
        return max(fitting, key=len, default=None)

    shown = {shown_by(name) for name, value in globals().items() if name.startswith("test_") and callable(value)}
    assert shown - {None} == set(TRAINING_PARAMETERS)
