"""From a folder of labelled images to what training reads: detect, convert, stage."""

from rfdetr_train.datasets.convert import convert
from rfdetr_train.datasets.detect import detect
from rfdetr_train.datasets.manifest import Prepared, read_manifest
from rfdetr_train.datasets.model import DatasetReport, Finding, Split
from rfdetr_train.datasets.stage import stage

__all__ = ["DatasetReport", "Finding", "Prepared", "Split", "convert", "detect", "read_manifest", "stage"]
