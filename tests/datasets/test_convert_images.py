"""What becomes of the images: referenced, linked, copied, copied by the server, or not needed at all."""

import io
import json
import os

import pytest
from dataset_builders import edit, everything, image_bytes, put, upload, write_coco, write_yolo
from PIL import Image

from rfdetr_train.datasets import convert, detect, read_manifest
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import open_store

ROTATED = 6  # EXIF orientation: shown a quarter turn clockwise


def turned_jpeg(width, height):
    """A JPEG of this size as stored, the upper left quarter white, that is to be shown turned."""
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), (0, 0, width // 2, height // 2))
    exif = Image.Exif()
    exif[274] = ROTATED
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def coco_with_turned_image(root, width, height):
    """A COCO dataset whose first image is stored as 100 x 50, turned, and declared with a size."""
    source = edit(write_coco(root), lambda data: data["images"][0].update(width=width, height=height))
    put(source / "train/train1.png", turned_jpeg(100, 50))
    return source


def fail(*_, **__):
    raise OSError("disk full")


def only_images(files):
    return {name: data for name, data in files.items() if name.endswith(".png")}


def orientation_and_size(path):
    with Image.open(path) as image:
        return image.getexif().get(274, 1), image.size


@pytest.mark.parametrize("images", ["link", "copy"])
def test_complete_dataset_has_images_that_are_links_or_copies(tmp_path, images):
    source = write_yolo(tmp_path / "in")
    prepared = convert(str(source), tmp_path / "out", images=images)
    original, written = source / "train/images/train1.png", tmp_path / "out/train/train1.png"
    assert written.read_bytes() == original.read_bytes()
    assert (written.stat().st_ino == original.stat().st_ino) == (images == "link")
    assert prepared.splits["train"].image_root == "."
    assert prepared.images == images
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    detect(str(tmp_path / "out")).raise_for_errors()


def test_image_that_is_a_symbolic_link_inside_the_dataset_becomes_a_file(tmp_path):
    source = write_yolo(tmp_path / "in")
    put(source / "store/one", (source / "valid/images/valid1.png").read_bytes())
    (source / "valid/images/valid1.png").unlink()
    (source / "valid/images/valid1.png").symlink_to("../../store/one")
    convert(str(source), tmp_path / "out", images="link")
    assert not (tmp_path / "out/valid/valid1.png").is_symlink()
    assert (tmp_path / "out/valid/valid1.png").read_bytes() == (source / "store/one").read_bytes()


def test_copy_shares_its_blocks_with_the_original_where_the_disk_can(tmp_path, monkeypatch):
    asked = []

    def clone(copy, request, original):
        asked.append(request)
        os.sendfile(copy, original, 0, os.fstat(original).st_size)

    monkeypatch.setattr("fcntl.ioctl", clone)
    monkeypatch.setattr("shutil.copyfile", fail)
    source = write_yolo(tmp_path / "in")
    convert(str(source), tmp_path / "out", target="yolo", images="copy")
    assert only_images(everything(tmp_path / "out")) == only_images(everything(source))
    assert asked == [0x40049409] * 6


@pytest.mark.parametrize("images", ["link", "copy"])
def test_turned_image_with_boxes_in_the_displayed_frame_is_turned_and_the_original_stays(tmp_path, images):
    source = coco_with_turned_image(tmp_path / "in", 50, 100)
    before = everything(source)
    prepared = convert(str(source), tmp_path / "out", images=images)
    assert orientation_and_size(tmp_path / "out/train/train1.png") == (1, (50, 100))
    # Shown, the white quarter is the upper right one.
    with Image.open(tmp_path / "out/train/train1.png") as image:
        assert image.getpixel((40, 10))[0] > 200 > 50 > image.getpixel((10, 10))[0]
    assert everything(source) == before
    written = prepared.splits["train"].images[0]
    assert written.size == (tmp_path / "out/train/train1.png").stat().st_size
    assert written.action == ""
    again = convert(str(tmp_path / "out"), tmp_path / "again")
    assert again.changes == {}
    assert "exif-orientation" not in [finding.code for finding in again.findings]


def test_turned_image_with_boxes_in_the_stored_frame_only_loses_its_tag(tmp_path):
    source = coco_with_turned_image(tmp_path / "in", 100, 50)
    convert(str(source), tmp_path / "out", images="link")
    assert orientation_and_size(tmp_path / "out/train/train1.png") == (1, (100, 50))
    with Image.open(tmp_path / "out/train/train1.png") as image, Image.open(source / "train/train1.png") as original:
        assert image.tobytes() == original.tobytes()


@pytest.mark.parametrize(
    ("exif", "declared", "action"),
    [("auto", (50, 100), "rotate"), ("auto", (100, 50), "strip"), ("displayed", (100, 50), "rotate"),
     ("raw", (50, 100), "strip")],
)  # fmt: skip
def test_reference_tells_staging_what_to_do_with_a_turned_image(tmp_path, exif, declared, action):
    source = coco_with_turned_image(tmp_path / "in", *declared)
    prepared = convert(str(source), tmp_path / "out", exif=exif)
    assert [image.action for image in prepared.splits["train"].images] == [action, ""]
    assert read_manifest(tmp_path / "out") == prepared
    data = json.loads((tmp_path / "out/train/_annotations.coco.json").read_text())
    size = (50, 100) if action == "rotate" else (100, 50)
    assert (data["images"][0]["width"], data["images"][0]["height"]) == size


def test_frame_that_was_decided_by_hand_gives_another_fingerprint(tmp_path):
    source = str(coco_with_turned_image(tmp_path / "in", 50, 100))
    auto, raw = convert(source, tmp_path / "a"), convert(source, tmp_path / "b", exif="raw")
    assert auto.fingerprint == auto.source_fingerprint == raw.source_fingerprint != raw.fingerprint


def test_turned_image_is_refused_on_demand(tmp_path):
    source = str(coco_with_turned_image(tmp_path / "in", 50, 100))
    with pytest.raises(DatasetError, match="exif-orientation"):
        convert(source, tmp_path / "out", exif="refuse")


def test_turned_image_of_yolo_gets_boxes_in_the_displayed_frame(tmp_path):
    source = write_yolo(tmp_path / "in")
    put(source / "train/images/train1.png", turned_jpeg(100, 50))
    convert(str(source), tmp_path / "out", images="copy")
    data = json.loads((tmp_path / "out/train/_annotations.coco.json").read_text())
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (50, 100)
    assert data["annotations"][0]["bbox"] == pytest.approx([5, 20, 10, 40])
    assert orientation_and_size(tmp_path / "out/train/train1.png") == (1, (50, 100))


def test_labels_only_need_no_image(tmp_path):
    source = write_coco(tmp_path / "in")
    for path in source.rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError, match="missing-image"):
        convert(str(source), tmp_path / "out", target="yolo")
    prepared = convert(str(source), tmp_path / "out", target="yolo", images="none")
    files = everything(tmp_path / "out")
    assert sorted(files) == [
        "data.yaml",
        "dataset.json",
        *sorted(f"{split}/labels/{split}{n}.txt" for split in ("test", "train", "valid") for n in (1, 2)),
    ]
    assert files["train/labels/train2.txt"] == b"1 0.65 0.7 0.7 0.6\n"
    assert prepared.splits["train"].images == []
    convert(str(source), tmp_path / "coco", images="none")
    name = "train/_annotations.coco.json"
    assert everything(tmp_path / "coco")[name] == (source / name).read_bytes()


def test_labels_only_are_refused_where_only_the_images_have_the_sizes(tmp_path):
    source = str(edit(write_coco(tmp_path / "in"), lambda data: data["images"][1].pop("width")))
    with pytest.raises(DatasetError, match=r"missing-size \(1\).*train2\.png\. Give images 'reference'"):
        convert(source, tmp_path / "out", target="yolo", images="none")
    with pytest.raises(ParameterError, match="'none' has no sizes"):
        convert(str(write_yolo(tmp_path / "yolo")), tmp_path / "out", images="none")


def test_image_with_a_name_that_leaves_the_folder_is_in_no_result(tmp_path):
    source = str(edit(write_coco(tmp_path / "in"), lambda data: data["images"][1].update(file_name="../../x.png")))
    for images in ("none", "link"):
        with pytest.raises(DatasetError, match="unsafe-file-name"):
            convert(source, tmp_path / "out", images=images)
        for target in ("coco", "yolo"):
            out = tmp_path / f"{images}-{target}"
            convert(source, out, target=target, images=images, policy=Policy(on_error="warn"))
            files = everything(out / "train")
            assert not [name for name, data in files.items() if "x.txt" in name or "x.png" in name or b"x.png" in data]


def test_failure_in_the_middle_leaves_the_earlier_result(tmp_path, monkeypatch):
    source = str(coco_with_turned_image(tmp_path / "in", 50, 100))
    convert(source, tmp_path / "out")
    before = everything(tmp_path / "out")
    monkeypatch.setattr("rfdetr_train.datasets.writers.images.upright", fail)
    with pytest.raises(OSError, match="disk full"):
        convert(source, tmp_path / "out", images="copy")
    assert everything(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_server_copies_inside_its_bucket_and_the_result_is_a_dataset(tmp_path, s3_bucket):
    source = coco_with_turned_image(tmp_path / "in", 50, 100)
    upload(source, f"s3://{s3_bucket}/raw/one")
    output = f"s3://{s3_bucket}/made/one"
    prepared = convert(f"s3://{s3_bucket}/raw/one", output, target="yolo", images="server-copy")
    convert(str(source), tmp_path / "local", target="yolo", images="copy")
    store = open_store(output)
    found, expected = {key: store.read(key) for key in store.names()}, everything(tmp_path / "local")
    manifest = json.loads(found.pop("dataset.json"))
    expected.pop("dataset.json")
    assert found == expected
    assert manifest["images"] == prepared.images == "server-copy"
    report = detect(output)
    report.raise_for_errors()
    assert (report.format, report.splits["train"].image_count) == ("yolo", 2)


def test_earlier_result_in_s3_is_replaced_and_anything_else_is_refused(tmp_path, s3_bucket):
    uri, output = f"s3://{s3_bucket}/raw", f"s3://{s3_bucket}/made"
    upload(write_coco(tmp_path / "in"), uri)
    convert(uri, output, target="yolo", images="server-copy")
    convert(uri, output, target="coco", images="server-copy")
    names = sorted(open_store(output).names())
    assert names == sorted(
        [
            "dataset.json",
            *(f"{split}/_annotations.coco.json" for split in ("train", "valid", "test")),
            *(f"{split}/{split}{n}.png" for split in ("train", "valid", "test") for n in (1, 2)),
        ]
    )
    open_store(f"s3://{s3_bucket}/mine").write("thesis.txt", b"years of work")
    with pytest.raises(ParameterError, match="is not empty and holds no earlier result"):
        convert(uri, f"s3://{s3_bucket}/mine", images="server-copy")
    with pytest.raises(ParameterError, match="is the dataset itself"):
        convert(uri, uri, images="server-copy")


def test_result_in_s3_that_was_begun_can_be_made_again(tmp_path, s3_bucket, monkeypatch):
    uri, output = f"s3://{s3_bucket}/raw", f"s3://{s3_bucket}/made"
    upload(write_coco(tmp_path / "in"), uri)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr("rfdetr_train.datasets.writers.to_coco.CocoWriter.finish", fail)
        convert(uri, output, images="server-copy")
    assert "dataset.json" not in open_store(output).names()
    convert(uri, output, images="server-copy")
    assert "dataset.json" in open_store(output).names()


def test_server_copy_is_refused_where_no_server_can(tmp_path, s3_bucket):
    source = write_coco(tmp_path / "in")
    upload(source, f"s3://{s3_bucket}/raw")
    for dataset, output, message in (
        (str(source), f"s3://{s3_bucket}/x", "reads from a prefix in S3"),
        (f"s3://{s3_bucket}/raw", str(tmp_path / "out"), "writes to S3"),
        (f"s3://{s3_bucket}/raw", "s3://another-bucket/x", "copies inside one bucket"),
    ):
        with pytest.raises(ParameterError, match=message):
            convert(dataset, output, images="server-copy")
    with pytest.raises(ParameterError, match=r"'link' writes to a folder of this machine.*Give images 'server-copy'"):
        convert(f"s3://{s3_bucket}/raw", f"s3://{s3_bucket}/x", images="link")


def test_wrong_extension_is_kept_and_reported(tmp_path):
    source = write_coco(tmp_path / "in")
    put(source / "train/train1.png", image_bytes(100, 50, "JPEG"))
    prepared = convert(str(source), tmp_path / "out", target="yolo", images="link")
    assert (tmp_path / "out/train/images/train1.png").read_bytes() == image_bytes(100, 50, "JPEG")
    assert [(finding.code, finding.count) for finding in prepared.findings] == [("wrong-extension", 1)]
