"""Hostile and broken datasets: refused with the reason, nothing run, nothing read outside, memory bounded."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from traps.image_cases import png_header
from traps.truth import image_bytes, plain, put
from traps.writing import DATA_YAML, Coco, Yolo, coco_json

from rfdetr_train.datasets import convert, detect, inspect, stage
from rfdetr_train.errors import DatasetError, RfdetrTrainError

MEBIBYTE = 1 << 20
LIMIT = 96 * MEBIBYTE
"""What a refusal may cost in memory; the bombs stand for a gigabyte and more."""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "animals"


def yolo(root, **values):
    Yolo(root, **values).write()
    return root


# YAML

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "alias"),
        ("a: &a [*a]\n", "alias"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "alias"),
        ("x: " + "[" * 50_000 + "]" * 50_000 + "\n", "nested"),
        ("x: " + "{a: " * 50_000 + "}" * 50_000 + "\n", "nested"),
        ("? " * 50_000 + "\n", "nested"),
        ("x: !!python/object/apply:os.system ['touch CANARY']\n", "tag"),
        ("x: !!python/object/new:subprocess.Popen [['touch', 'CANARY']]\n", "tag"),
        ("x: !!python/name:os.system\n", "tag"),
        ("x: !!binary aGVsbG8=\n", "tag"),
        ("%TAG ! tag:yaml.org,2002:python/\n---\nx: !object/apply:os.system ['touch CANARY']\n", "tag"),
    ],
)
def test_yaml_bomb_or_object_is_refused_and_nothing_is_run(root, tmp_path, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    yolo(root, data_yaml=text if text.startswith("%") else text + DATA_YAML)
    with pytest.raises(DatasetError, match=rf"(?s)data\.yaml.*{reason}"):
        detect(str(root))
    assert not list(tmp_path.rglob("CANARY"))


@pytest.mark.parametrize("value", ["touch CANARY", "bash -c 'touch CANARY'", "open('CANARY', 'w').close()"])
def test_download_is_never_run(root, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    script = f"download: |\n  {value}\n" if "open" in value else f"download: {value}\n"
    yolo(root, data_yaml=DATA_YAML + script)
    report = inspect(str(root))
    assert [(finding.code, finding.severity) for finding in report.findings] == [("download-ignored", "info")]
    convert(str(root), tmp_path / "output", images="link")
    assert not list(tmp_path.rglob("CANARY"))


# Paths

OUT = {
    "path": "path: ../outside\ntrain: train/images\nval: valid/images\nnc: 2\nnames: [cat, dog]\n",
    "path of the system": "path: ../../../../etc\ntrain: ssl\nval: X11\nnc: 2\nnames: [cat, dog]\n",
    "split": DATA_YAML.replace("train/images", "../outside/train/images"),
    "split that goes up twice": DATA_YAML.replace("train/images", "../../x/../outside/train/images"),
    "absolute split": "train: {outside}/train/images\nval: {outside}/valid/images\nnc: 2\nnames: [cat, dog]\n",
    "list": DATA_YAML.replace("train/images", "train.txt"),
}


@pytest.mark.parametrize("name", OUT)
def test_path_out_of_the_dataset_is_refused(root, tmp_path, name):
    outside = yolo(tmp_path / "outside")
    put(root / "data.yaml", OUT[name].format(outside=outside))
    put(root / "train.txt", f"../outside/train/images/a.jpg\n{outside}/train/images/b.jpg\n")
    put(root / "valid/images/v.jpg", image_bytes(3, (64, 48)))
    put(root / "valid/labels/v.txt", "0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DatasetError):
        detect(str(root)).raise_for_errors()
    with pytest.raises(DatasetError):
        convert(str(root), tmp_path / "output", images="link")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("place", ["train/images/a.jpg", "train/labels/a.txt", "data.yaml", "train/images", "valid"])
def test_symbolic_link_out_of_the_dataset_is_refused(root, tmp_path, place):
    outside = yolo(tmp_path / "outside")
    path = yolo(root) / place
    path.rename(tmp_path / "moved")
    path.symlink_to(outside / place)
    with pytest.raises(DatasetError, match="symbolic link that leaves"):
        detect(str(root))


def test_symbolic_link_to_a_folder_above_is_refused(root):
    (yolo(root) / "train/images/again").symlink_to(root)
    with pytest.raises(DatasetError, match="folder above"):
        detect(str(root))


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..\\..\\secret.jpg", "a\x00b.jpg", "x" * 5000])
def test_unsafe_file_name_in_coco_is_refused_and_not_followed(root, name):
    data = Coco(root)
    data.train["images"].append({"id": 9, "file_name": name, "width": 5, "height": 5})
    data.write()
    report = inspect(str(root))
    assert {"unsafe-file-name", "missing-image"} & {finding.code for finding in report.findings}
    with pytest.raises(DatasetError):
        report.raise_for_errors()


# Sizes

PROBE = """
import sys
from pathlib import Path
import numpy, yaml, PIL.Image, rfdetr_train.storage.archives
from rfdetr_train.datasets import detect, inspect
from rfdetr_train.errors import DatasetError

def peak():
    # Not ru_maxrss, which begins with the size of the process that started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

before = peak()
for look in (detect, inspect):
    try:
        findings = [finding.code for finding in look(sys.argv[1]).findings]
    except DatasetError as error:
        findings = str(error)
    print(look.__name__, findings)
print(peak() - before)
"""


def sparse(path, size, head=b""):
    """Make a file of a size that has no blocks on the disk."""
    put(path, head)
    os.truncate(path, size)


def huge_yaml(root):
    sparse(yolo(root) / "data.yaml", 1 << 30, DATA_YAML.encode())
    return "larger than"


def huge_json(root):
    Coco(root).write()
    sparse(root / "train/_annotations.coco.json", 5 << 30, b'{"images": [')
    return "larger than"


def huge_label_file(root):
    sparse(yolo(root) / "train/labels/a.txt", 1 << 30, b"0 0.5 0.5 0.1 0.1\n")
    return "larger than"


def huge_list_file(root):
    sparse(yolo(root, data_yaml=DATA_YAML.replace("train/images", "train.txt")) / "train.txt", 1 << 30)
    return "larger than"


def huge_names_file(root):
    sparse(yolo(root, data_yaml=None) / "classes.txt", 1 << 30, b"cat\ndog\n")
    return "larger than"


def image_bomb(root):
    put(yolo(root) / "train/images/a.jpg", png_header(100_000, 100_000))
    return "oversized-image"


def deep_json(root):
    Coco(root).write()
    text = '{"images": [], "categories": [], "annotations": [], "info": ' + "[" * 2_000_000 + "]" * 2_000_000 + "}"
    put(root / "train/_annotations.coco.json", text)
    return "_annotations.coco.json"


def zip_bomb(root):
    with zipfile.ZipFile(root.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.yaml", DATA_YAML)
        with archive.open("train/images/a.jpg", "w", force_zip64=True) as file:
            for _ in range(256):
                file.write(bytes(MEBIBYTE))
    return "limit"


@pytest.mark.parametrize(
    "bomb",
    [huge_yaml, huge_json, huge_label_file, huge_list_file, huge_names_file, image_bomb, deep_json, zip_bomb],
)
def test_bomb_is_named_and_takes_no_memory(root, bomb):
    words = bomb(root)
    place = next(path for path in (root, root.with_suffix(".zip")) if path.exists())
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(place)], capture_output=True, text=True, timeout=60, check=True
    )
    *_, inspected, grown = run.stdout.splitlines()
    assert words in inspected
    assert int(grown) < LIMIT, run.stdout


# Archives; what each reader refuses is tested with it.


def zip_of(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def files_of(root):
    return [(path.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt", "data.yaml", "DATA.yaml"],
)
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archive_with_a_bad_name_is_refused_before_anything_is_written(root, tmp_path, name, kind):
    entries = [*files_of(yolo(root)), (name, b"evil")]
    if kind == "zip":
        path = zip_of(tmp_path / "set.zip", entries)
    else:
        path = tmp_path / "set.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for entry, content in entries:
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    for look in (detect, inspect):
        with pytest.raises(DatasetError):
            look(str(path))
    with pytest.raises(DatasetError):
        convert(str(path), tmp_path / "output", images="link")
    assert not (tmp_path / "output").exists()
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_with_a_link_or_a_device_is_refused(root, tmp_path, type_):
    yolo(root)
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, ".")
        info = tarfile.TarInfo("train/images/c.jpg")
        info.type, info.linkname = type_, "../../../etc/passwd"
        archive.addfile(info)
    with pytest.raises(DatasetError):
        inspect(str(path))
    with pytest.raises(DatasetError):
        convert(str(path), tmp_path / "output", images="link")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100), b"\x1f\x8b" + bytes(50)])
@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tar.zst"])
def test_file_that_is_no_archive_is_refused(tmp_path, name, content):
    put(tmp_path / name, content)
    with pytest.raises(DatasetError):
        detect(str(tmp_path / name))


# A dataset that changes


def test_image_that_changed_since_it_was_converted_is_refused(root, tmp_path):
    yolo(root)
    convert(str(root), tmp_path / "prepared", images="reference")
    put(root / "train/images/b.jpg", image_bytes(9, (300, 300)))
    with pytest.raises(RfdetrTrainError, match=r"b\.jpg"):
        stage(tmp_path / "prepared", tmp_path / "staged")


def test_image_that_went_away_since_it_was_converted_is_refused(root, tmp_path):
    yolo(root)
    convert(str(root), tmp_path / "prepared", images="reference")
    (root / "train/images/b.jpg").unlink()
    with pytest.raises(RfdetrTrainError, match=r"b\.jpg"):
        stage(tmp_path / "prepared", tmp_path / "staged")


@pytest.mark.parametrize("change", ["annotations", "image", "name"])
def test_change_of_the_data_changes_the_fingerprint(root, change):
    Coco(root).write()
    before = inspect(str(root)).fingerprint
    if change == "annotations":
        path = root / "train/_annotations.coco.json"
        path.write_text(path.read_text().replace("50.5", "50.6"))
    elif change == "image":
        put(root / "train/a.jpg", image_bytes(5, (100, 60), "PNG"))
    else:
        data = coco_json(plain()["train"], {"cat": 1, "cow": 2, "dog": 3})
        put(root / "train/_annotations.coco.json", json.dumps(data))
    assert before and inspect(str(root)).fingerprint != before


def test_fingerprint_of_a_folder_and_its_archive_are_one_whoever_asks(root, tmp_path):
    path = zip_of(tmp_path / "set.zip", files_of(yolo(root)))
    found = {inspect(str(place)).fingerprint for place in (root, path)}
    found |= {inspect(str(place), images=False).fingerprint for place in (root, path)}
    found |= {detect(str(place)).fingerprint for place in (root, path)}
    found.add(convert(str(root), tmp_path / "prepared").source_fingerprint)
    assert len(found) == 1 and all(found)


def test_archive_that_was_swapped_is_refused(root, tmp_path):
    path = zip_of(tmp_path / "set.zip", files_of(yolo(root)))
    convert(str(path), tmp_path / "prepared", images="reference")
    put(root / "train/images/b.jpg", image_bytes(9, (80, 120)))
    zip_of(path, files_of(root))
    with pytest.raises(RfdetrTrainError):
        stage(tmp_path / "prepared", tmp_path / "staged")
