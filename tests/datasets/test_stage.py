"""The local folder that training reads."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import msgspec
import pytest
from dataset_builders import everything, image_bytes, put, upload, write_coco, write_yolo
from fault_proxy import FaultProxy
from image_builders import exif, orientation_of, save

from rfdetr_train.datasets import convert, detect, progress, read_manifest, stage
from rfdetr_train.datasets.manifest import write_manifest
from rfdetr_train.errors import DatasetError, InfrastructureError, ParameterError
from rfdetr_train.storage import open_store
from rfdetr_train.storage.local import LocalStore


@pytest.fixture
def source(tmp_path):
    return write_yolo(tmp_path / "in")


@pytest.fixture
def prepared(source, tmp_path):
    convert(str(source), tmp_path / "prepared")
    return tmp_path / "prepared"


def test_staged_folder_is_a_complete_coco_dataset_of_hard_links(source, prepared, tmp_path):
    folder = stage(prepared, tmp_path / "deep" / "local")
    report = detect(str(folder))
    assert (report.format, report.layout, report.findings) == ("coco", "roboflow", [])
    assert {name: split.image_count for name, split in report.splits.items()} == {"train": 2, "valid": 2, "test": 2}
    staged = folder / "train/train1.png"
    assert staged.stat().st_ino == (source / "train/images/train1.png").stat().st_ino
    marker = json.loads((folder / ".staged.json").read_text())
    assert marker == {"fingerprint": read_manifest(prepared).fingerprint, "complete": True}


def test_dataset_with_its_images_is_staged_from_wherever_it_was_moved(source, tmp_path):
    convert(str(source), tmp_path / "whole", images="copy")
    (tmp_path / "whole").rename(tmp_path / "moved")
    folder = stage(tmp_path / "moved", tmp_path / "local")
    detect(str(folder)).raise_for_errors()


def test_s3_images_are_staged_with_their_bytes(source, tmp_path, s3_bucket):
    upload(source, f"s3://{s3_bucket}/set")
    convert(f"s3://{s3_bucket}/set", tmp_path / "prepared")
    folder = stage(tmp_path / "prepared", tmp_path / "local")
    for number in (1, 2):
        original = (source / f"train/images/train{number}.png").read_bytes()
        assert (folder / f"train/train{number}.png").read_bytes() == original


@pytest.fixture
def fetched(monkeypatch):
    """Keys of the images that are brought from now on."""
    keys = []
    fetch_all = LocalStore.fetch_all

    def note(self, wanted, *, link):
        keys.extend(item.key for item in wanted)
        return fetch_all(self, wanted, link=link)

    monkeypatch.setattr(LocalStore, "fetch_all", note)
    return keys


def images_asked_for(proxy):
    return [request.path.rpartition("/")[2] for request in proxy.requests if ".png" in request.path]


def staged_images(folder):
    return {path.name for path in folder.rglob("*.png") if not path.name.startswith(".")}


def change_images(prepared, change, split="train"):
    """Change the images of a split in the manifest."""
    manifest = read_manifest(prepared)
    images = [change(image) for image in manifest.splits[split].images]
    splits = {**manifest.splits, split: msgspec.structs.replace(manifest.splits[split], images=images)}
    write_manifest(prepared, msgspec.structs.replace(manifest, splits=splits))


def test_second_call_fetches_only_what_is_missing(prepared, tmp_path, fetched):
    folder = stage(prepared, tmp_path / "local")
    assert len(fetched) == 6
    (folder / "train/train2.png").unlink()
    fetched.clear()
    stage(prepared, folder)
    assert fetched == ["train/images/train2.png"]


def test_image_that_was_cut_off_on_the_disk_is_fetched_again(prepared, tmp_path, fetched):
    folder = stage(prepared, tmp_path / "local")
    whole = (folder / "train/train2.png").read_bytes()
    (folder / "train/train2.png").unlink()
    (folder / "train/train2.png").write_bytes(whole[:-1])
    fetched.clear()
    stage(prepared, folder)
    assert fetched == ["train/images/train2.png"]
    assert (folder / "train/train2.png").read_bytes() == whole


def test_image_of_the_same_size_and_another_tag_is_fetched_again_and_no_other(source, tmp_path, s3_bucket, monkeypatch):
    uri = f"s3://{s3_bucket}/set"
    upload(source, uri)
    convert(uri, tmp_path / "prepared")
    folder = stage(tmp_path / "prepared", tmp_path / "local")
    swapped = bytearray((source / "train/images/train2.png").read_bytes())
    swapped[-1] ^= 1
    open_store(uri).write("train/images/train2.png", bytes(swapped))
    tags = {found.key: found.etag for found in open_store(uri).list()}
    change_images(tmp_path / "prepared", lambda image: msgspec.structs.replace(image, etag=tags[image.key]))
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        stage(tmp_path / "prepared", folder)
        stage(tmp_path / "prepared", folder)
        assert [request.path.rpartition("/")[2] for request in proxy.requests if ".png" in request.path] == [
            "train2.png"
        ]
    assert (folder / "train/train2.png").read_bytes() == swapped


def test_going_back_to_an_earlier_tag_after_a_kill_does_not_take_the_later_image_for_it(prepared, tmp_path, fetched):
    """The index must forget an image before another one takes its place."""
    folder = stage(prepared, tmp_path / "local")
    index = (folder / ".staged.images").read_bytes()
    first = read_manifest(prepared)
    change_images(prepared, lambda image: msgspec.structs.replace(image, etag="0" * 64))
    with pytest.raises(DatasetError, match="is not the one that was listed"):
        stage(prepared, folder)
    assert (folder / ".staged.images").read_bytes() == b"".join(
        line for line in index.splitlines(keepends=True) if b"train/" not in line
    )
    write_manifest(prepared, first)
    fetched.clear()
    stage(prepared, folder)
    assert sorted(fetched) == ["train/images/train1.png", "train/images/train2.png"]


def test_damaged_index_means_that_everything_is_fetched_again(prepared, tmp_path, fetched):
    folder = stage(prepared, tmp_path / "local")
    (folder / ".staged.images").write_bytes(b"[1, 2\n")
    fetched.clear()
    stage(prepared, folder)
    assert len(fetched) == 6
    fetched.clear()
    with (folder / ".staged.images").open("ab") as index:
        index.write(b'["train/tra')  # cut off by a kill
    stage(prepared, folder)
    stage(prepared, folder)
    assert fetched == []


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("change", ["removed", "grown"])
def test_image_that_changed_since_conversion_is_an_error_and_the_folder_is_not_marked_complete(
    request, source, tmp_path, where, change
):
    uri = str(source)
    if where == "s3":
        uri = f"s3://{request.getfixturevalue('s3_bucket')}/set"
        upload(source, uri)
    convert(uri, tmp_path / "prepared")
    image = source / "valid/images/valid2.png"
    if change == "grown":
        put(image, image_bytes(100, 50) + b"more")
    else:
        image.unlink()
    if where == "s3":
        open_store(uri).delete("valid/images/valid2.png")
        upload(source, uri)
    grown = r"has \d+ bytes, \d+ wanted" if where == "local" else "was written by somebody else"
    message = "is no longer there" if change == "removed" else grown
    with pytest.raises(DatasetError, match=f"valid/images/valid2.png.*{message}.*convert it again"):
        stage(tmp_path / "prepared", tmp_path / "local")
    names = {name.rpartition("/")[2] for name in everything(tmp_path / "local")}
    assert "valid2.png" not in names
    assert not [name for name in names if name.endswith(".part")]
    assert json.loads((tmp_path / "local/.staged.json").read_text())["complete"] is False


STAGE = "import sys; from rfdetr_train.datasets import stage; stage(sys.argv[1], sys.argv[2])"


def start_staging(prepared, folder):
    """Begin a process that stages."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, str(prepared), str(folder)], stderr=subprocess.PIPE, text=True
    )


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_staging_goes_on_with_what_was_missing_and_leaves_no_half_file(source, tmp_path, s3_bucket, monkeypatch):
    uri, prepared, folder = f"s3://{s3_bucket}/set", tmp_path / "prepared", tmp_path / "local"
    upload(source, uri)
    big = image_bytes(100, 50) + os.urandom(1 << 20)
    open_store(uri).write("train/images/train2.png", big)
    convert(uri, prepared)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.add(1, lambda handler, body: handler.stall(body, after=1 << 19), lambda r: "train2.png" in r.path)
        process = start_staging(prepared, folder)
        wait_until(lambda: len(staged_images(folder)) == 5 and list((folder / "train").glob(".train2.*")))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len([path for path in (folder / "train").iterdir() if path.name.startswith(".train2.")]) == 1
        proxy.requests.clear()
        stage(prepared, folder)
        assert [request.path.rpartition("/")[2] for request in proxy.requests if ".png" in request.path] == [
            "train2.png"
        ]
    assert (folder / "train/train2.png").read_bytes() == big
    assert [path.name for path in (folder / "train").iterdir() if path.name.startswith(".")] == []
    detect(str(folder)).raise_for_errors()


def test_two_processes_stage_to_one_folder_each_image_once(source, tmp_path, s3_bucket, monkeypatch):
    uri, prepared, folder = f"s3://{s3_bucket}/set", tmp_path / "prepared", tmp_path / "local"
    upload(source, uri)
    convert(uri, prepared)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.slow(6, seconds=0.5, when=lambda request: ".png" in request.path)
        processes = [start_staging(prepared, folder) for _ in range(2)]
        errors = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
        assert sorted(images_asked_for(proxy)) == sorted(staged_images(folder))
    assert len(staged_images(folder)) == 6


def test_folder_staged_from_another_dataset_is_cleared_first(prepared, tmp_path):
    folder = stage(prepared, tmp_path / "local")
    other = write_coco(tmp_path / "other", ("train", "valid"))
    convert(str(other), tmp_path / "prepared2")
    stage(tmp_path / "prepared2", folder)
    assert not (folder / "test").exists()
    assert (folder / "train/train1.png").stat().st_ino == (other / "train/train1.png").stat().st_ino


def test_folder_of_somebody_else_is_refused(prepared, tmp_path):
    put(tmp_path / "local/thesis.txt", "years of work")
    with pytest.raises(ParameterError, match="is not empty and was not staged by us"):
        stage(prepared, tmp_path / "local")
    assert everything(tmp_path / "local") == {"thesis.txt": b"years of work"}


def test_folder_of_a_staging_that_was_killed_at_once_is_not_taken_for_somebody_elses(prepared, tmp_path):
    put(tmp_path / "local/.rfdetr-lock", "")
    put(tmp_path / "local/..staged.0123abcd.json", "{")
    folder = stage(prepared, tmp_path / "local")
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == {
        ".rfdetr-lock",
        ".staged.images",
        ".staged.json",
    }


def test_yolo_is_refused_with_the_next_step(source, tmp_path):
    convert(str(source), tmp_path / "yolo", target="yolo")
    with pytest.raises(ParameterError, match=r"training reads COCO\. Convert with target coco"):
        stage(tmp_path / "yolo", tmp_path / "local")


def test_labels_without_images_are_refused_with_the_next_step(tmp_path):
    convert(str(write_coco(tmp_path / "source")), tmp_path / "labels", images="none")
    with pytest.raises(ParameterError, match=r"labels without images.*Convert with images reference"):
        stage(tmp_path / "labels", tmp_path / "local")
    assert not (tmp_path / "local").exists()


def test_long_staging_logs_files_bytes_rate_and_time_left(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    with caplog.at_level("INFO", "rfdetr_train.datasets"):
        folder = stage(prepared, tmp_path / "local")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("staging: ")]
    assert len(lines) == 6
    size = f"{sum(path.stat().st_size for path in folder.rglob('*.png')) / 1e6:.1f}"
    assert lines[-1].startswith("staging: 6/6 files, ")
    for part in (" files/s, ", f", {size}/{size} MB, ", " MB/s, 0 s left"):
        assert part in lines[-1]


def test_time_left_is_told_by_bytes_where_they_are_known(monkeypatch, caplog):
    clock = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level("INFO", "rfdetr_train.datasets"):
        work = progress.Progress("staging", 3, 100_000_000)
        work.advance(10_000_000)
        work.advance(40_000_000)
    assert [record.getMessage() for record in caplog.records] == [
        "staging: 1/3 files, 0 files/s, 10.0/100.0 MB, 1.0 MB/s, 90 s left",
        "staging: 2/3 files, 0 files/s, 50.0/100.0 MB, 2.5 MB/s, 20 s left",
    ]


@pytest.fixture
def small_disk(monkeypatch):
    """Makes the disk as good as full: so many blocks are free."""
    statvfs = os.statvfs

    def shrink(blocks):
        def small(path):
            fields = list(statvfs(path))
            fields[1], fields[4] = 4096, blocks  # f_frsize, f_bavail
            return os.statvfs_result(fields)

        monkeypatch.setattr(os, "statvfs", small)

    return shrink


def test_images_that_do_not_fit_are_refused_before_the_first_and_what_is_there_counts(
    source, tmp_path, s3_bucket, small_disk
):
    uri, prepared, folder = f"s3://{s3_bucket}/set", tmp_path / "prepared", tmp_path / "local"
    upload(source, uri)
    open_store(uri).write("train/images/train2.png", image_bytes(100, 50) + bytes(50_000_000))
    convert(uri, prepared)
    small_disk(5)
    refusal = r"the 6 images that are still to be brought need 0\.05 GB, where 0\.00 GB are free\. Free 0\.05 GB, or"
    with pytest.raises(InfrastructureError, match=refusal):
        stage(prepared, folder)
    assert staged_images(folder) == set()
    small_disk(10**6)
    stage(prepared, folder)
    (folder / "valid/valid1.png").unlink()
    small_disk(0)
    with pytest.raises(InfrastructureError, match="the 1 images"):
        stage(prepared, folder)
    small_disk(1)
    stage(prepared, folder)


def test_hard_links_need_no_room_but_images_that_are_turned_do(source, prepared, tmp_path, small_disk):
    small_disk(0)
    folder = stage(prepared, tmp_path / "local")
    assert (folder / "train/train1.png").samefile(source / "train/images/train1.png")
    change_images(prepared, lambda image: msgspec.structs.replace(image, action="strip"))
    with pytest.raises(InfrastructureError, match="the 2 images"):
        stage(prepared, folder)


def test_disk_that_fills_up_is_said_with_the_next_step(prepared, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(InfrastructureError, match=r"is full\. Free some, or name a folder on a larger disk; what was"):
        stage(prepared, tmp_path / "local")


@pytest.fixture
def turned(tmp_path):
    """A prepared dataset whose first training image has EXIF orientation 6."""
    source = write_coco(tmp_path / "source")
    photo = save("JPEG", exif=exif(6))
    put(source / "train/train1.png", photo)
    convert(str(source), tmp_path / "prepared", exif="displayed")
    return tmp_path / "prepared", source / "train/train1.png", photo


def turn(prepared, action):
    change_images(prepared, lambda image: msgspec.structs.replace(image, action=action if "1" in image.key else ""))


@pytest.mark.parametrize("action", ["strip", "rotate"])
def test_image_is_turned_once_and_its_source_stays_as_it_is(turned, tmp_path, fetched, action):
    prepared, original, photo = turned
    turn(prepared, action)
    folder = stage(prepared, tmp_path / "local")
    staged = (folder / "train/train1.png").read_bytes()
    assert orientation_of(staged) == 1
    assert (len(staged) == len(photo)) is (action == "strip")
    assert original.read_bytes() == photo
    fetched.clear()
    stage(prepared, folder)
    assert fetched == []
    assert (folder / "train/train1.png").read_bytes() == staged


def test_image_is_fetched_again_when_it_is_to_be_turned_or_no_longer(turned, tmp_path, fetched):
    prepared, original, photo = turned
    folder = tmp_path / "local"
    for action in ("", "strip", "rotate", ""):
        change_images(
            prepared, lambda image, a=action: msgspec.structs.replace(image, action=a if "1" in image.key else "")
        )
        fetched.clear()
        stage(prepared, folder)
        assert "train/train1.png" in fetched
        assert orientation_of((folder / "train/train1.png").read_bytes()) == (1 if action else 6)
    assert original.read_bytes() == photo
    assert (folder / "train/train1.png").samefile(original)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_archive_is_staged_with_one_reading(source, tmp_path, request, where):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in everything(source).items():
            archive.writestr(name, data)
    uri = str(path)
    if where == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        uri = f"s3://{bucket}/set.zip"
        open_store(f"s3://{bucket}").put_file("set.zip", path)
    convert(uri, tmp_path / "prepared")
    folder = stage(tmp_path / "prepared", tmp_path / "local")
    assert {path.name: path.read_bytes() for path in folder.rglob("*.png")} == {
        path.name: path.read_bytes() for path in source.rglob("*.png")
    }
    assert detect(str(folder)).findings == []
