"""The peers: in which environment each lives, its version, and the code that does what is compared.

``make bench-peers`` installs them into ``.venv-peers`` from ``benchmarks/peers/requirements.lock``. rfdetr is in
``.venv``, as ours is. The code of a way gets a dataset and an output folder as its arguments.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from measure import Usage, measure
from setting import ROOT

PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OURS = "rfdetr-pipelines"
_OWN = (OURS, "rfdetr", "pillow")
_ARGUMENTS = "\nimport sys\nfrom pathlib import Path\nsource, out = Path(sys.argv[1]), Path(sys.argv[2])\n"


class Way(NamedTuple):
    """A way to do something.

    Attributes:
        package: Whose.
        imports: What it imports; measured alone too.
        code: What it does with ``source`` and ``out``.
        too_large: Why it is not run at 118k; "" where it is.
    """

    package: str
    imports: str
    code: str
    too_large: str = ""

    def run(self, source: Path, out: Path) -> Usage:
        """Do it in a fresh process."""
        return measure(self._command(self.imports + _ARGUMENTS + self.code, source, out), env=_environment())

    def only_import(self) -> Usage:
        """Do nothing but import."""
        return measure(self._command(self.imports), env=_environment())

    def _command(self, code: str, *paths: Path) -> list[str]:
        return [str(python_of(self.package)), "-W", "ignore", "-c", code, *map(str, paths)]


def python_of(package: str) -> Path:
    """Return the interpreter of the environment that a package lives in."""
    return Path(sys.executable) if package in _OWN else PEERS_PYTHON


@functools.cache
def version_of(package: str) -> str:
    """Return the installed version, "" where it is not installed."""
    if not python_of(package).exists():
        return ""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python_of(package)), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@functools.cache
def _environment() -> dict[str, str]:
    """Ultralytics writes its settings at its first import, and asks the network."""
    folder = Path(tempfile.gettempdir()) / "rfdetr-pipelines-bench-settings"
    folder.mkdir(exist_ok=True)
    return {"YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}


COCO_TO_YOLO = {
    "hotcoco": Way(
        "hotcoco",
        "from hotcoco import COCO",
        """
for split in ("train", "val"):
    COCO(str(source / "annotations" / f"instances_{split}2017.json")).to_yolo(str(out / split))
""",
    ),
    "ultralytics": Way(
        "ultralytics",
        "from ultralytics.data.converter import convert_coco",
        "convert_coco(str(source / 'annotations'), str(out), cls91to80=True)",
    ),
    "labelformat": Way(
        "labelformat",
        "from labelformat.formats import COCOObjectDetectionInput, YOLOv8ObjectDetectionOutput",
        """
for split in ("train", "val"):
    found = COCOObjectDetectionInput(input_file=source / "annotations" / f"instances_{split}2017.json")
    YOLOv8ObjectDetectionOutput(output_file=out / "data.yaml", output_split=split).save(label_input=found)
""",
    ),
    "supervision": Way(
        "supervision",
        "import supervision",
        """
for split in ("train", "val"):
    found = supervision.DetectionDataset.from_coco(
        images_directory_path=str(source / f"{split}2017"),
        annotations_path=str(source / "annotations" / f"instances_{split}2017.json"),
    )
    found.as_yolo(annotations_directory_path=str(out / split), data_yaml_path=str(out / "data.yaml"))
""",
        too_large="decodes every image, and keeps a mask of every polygon in memory",
    ),
    "ours": Way(
        OURS,
        "from rfdetr_train.datasets import convert",
        "convert(str(source), out, target='yolo', images='none')",
    ),
    "ours with images": Way(
        OURS,
        "from rfdetr_train.datasets import convert",
        "convert(str(source), out, target='yolo', images='link')",
    ),
}
YOLO_TO_COCO = {
    "rfdetr's reader": Way(
        "rfdetr",
        "from rfdetr.config import RFDETRNanoConfig, TrainConfig\nfrom rfdetr.training import RFDETRDataModule",
        """
config = TrainConfig(dataset_dir=str(source), output_dir=str(out), num_workers=0)
RFDETRDataModule(RFDETRNanoConfig(pretrain_weights=None), config).setup("fit")
""",
    ),
    "datumaro": Way(
        "datumaro",
        "from datumaro.components.dataset import Dataset",
        "Dataset.import_from(str(source), 'yolo').export(str(out), 'coco_instances', save_media=False)",
    ),
    "labelformat": Way(
        "labelformat",
        "from labelformat.formats import COCOObjectDetectionOutput, YOLOv8ObjectDetectionInput",
        """
for split in ("train", "val"):
    found = YOLOv8ObjectDetectionInput(input_file=source / "data.yaml", input_split=split)
    COCOObjectDetectionOutput(output_file=out / f"{split}.json").save(label_input=found)
""",
    ),
    "supervision": Way(
        "supervision",
        "import supervision",
        """
for split in ("train", "val"):
    found = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(source / "images" / split),
        annotations_directory_path=str(source / "labels" / split),
        data_yaml_path=str(source / "data.yaml"),
    )
    found.as_coco(annotations_path=str(out / f"{split}.json"))
""",
    ),
    "globox": Way(
        "globox",
        "from globox import AnnotationSet",
        """
out.mkdir()
for split in ("train", "val"):
    folder = source / "images" / split
    AnnotationSet.from_yolo_darknet(source / "labels" / split, image_folder=folder).save_coco(
        out / f"{split}.json", auto_ids=True
    )
""",
    ),
    "ours": Way(
        OURS,
        "from rfdetr_train.datasets import convert",
        "convert(str(source), out, target='coco', images='reference')",
    ),
}
