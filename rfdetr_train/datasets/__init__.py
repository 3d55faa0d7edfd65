"""From labelled images to what training reads: detect, inspect, convert, stage."""

from rfdetr_train.datasets.convert import convert
from rfdetr_train.datasets.detect import detect
from rfdetr_train.datasets.fix import fix
from rfdetr_train.datasets.inspect import inspect
from rfdetr_train.datasets.manifest import Prepared, read_manifest
from rfdetr_train.datasets.model import DatasetReport, Finding, Split
from rfdetr_train.datasets.stage import stage

__all__ = [
    "DatasetReport",
    "Finding",
    "Prepared",
    "Split",
    "convert",
    "detect",
    "fix",
    "inspect",
    "read_manifest",
    "stage",
]
