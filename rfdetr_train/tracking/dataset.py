"""The dataset of a training as an input of its MLflow run, by which MLflow finds the runs that used the same data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rfdetr_train.tracking.server import without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_DIGEST = 36  # characters, MLflow's own limit


@dataclass(frozen=True)
class TrackedDataset:
    """What MLflow keeps of a dataset.

    Attributes:
        uri: Where it lies.
        fingerprint: Of its content.
        image_counts: Images by split.
    """

    uri: str
    fingerprint: str
    image_counts: dict[str, int]


def write_dataset(client: MlflowClient, run_id: str, dataset: TrackedDataset) -> None:
    """Name a dataset as what a run trains on; a run that has it already stays as it is."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    uri = without_credentials(dataset.uri)
    entity = Dataset(
        name=uri.rstrip("/").rpartition("/")[2][:500] or "dataset",
        digest=dataset.fingerprint[:_LONGEST_DIGEST],
        source_type="s3" if uri.startswith("s3://") else "local",
        source=json.dumps({"uri": uri}),
        profile=json.dumps({"images": dataset.image_counts, "fingerprint": dataset.fingerprint}),
    )
    client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
