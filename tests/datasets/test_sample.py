import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from rfdetr_train.datasets.sample import CLASSES, make_sample
from rfdetr_train.errors import ParameterError


def digest(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def labelled_boxes(directory: Path, split: str) -> list[tuple[Image.Image, list[list[float]]]]:
    return [
        (
            Image.open(path),
            [
                [float(value) for value in row.split()]
                for row in (directory / split / "labels" / f"{path.stem}.txt").read_text().splitlines()
            ],
        )
        for path in sorted((directory / split / "images").iterdir())
    ]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "shapes"
    make_sample(directory, train=40, valid=6, test=5)
    return directory


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_images(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_sample(tmp_path / name, train=3, valid=1, test=1, seed=seed)

    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_splits_have_the_wanted_sizes_and_data_yaml_points_at_them(sample):
    data = yaml.safe_load((sample / "data.yaml").read_text())

    assert [len(list((sample / data[key]).iterdir())) for key in ("train", "val", "test")] == [40, 6, 5]
    assert (data["nc"], data["names"]) == (2, ["circle", "square"])


def test_no_image_occurs_twice(sample):
    images = [value for name, value in digest(sample).items() if name.endswith(".jpg")]

    assert len(set(images)) == 51


def test_every_image_has_one_to_three_shapes_inside_it_of_20_to_60_pixels(sample):
    images = labelled_boxes(sample, "train")

    assert {image.size for image, _ in images} == {(128, 128)}
    assert {len(boxes) for _, boxes in images} == {1, 2, 3}
    boxes = np.array([box for _, boxes in images for box in boxes])
    centres, sides = boxes[:, 1:3] * 128, boxes[:, 3:] * 128
    assert (centres - sides / 2).min() >= -1e-5
    assert (centres + sides / 2).max() <= 128 + 1e-5
    assert 20 - 1e-5 <= sides.min() <= sides.max() <= 60
    assert set(boxes[:, 0]) == set(range(len(CLASSES)))


def test_a_box_fits_its_shape_to_the_pixel(sample):
    for image, boxes in labelled_boxes(sample, "valid"):
        # Shapes are brighter than any background; 140 of 255 lies between, beyond the noise of either.
        bright = np.asarray(image).mean(axis=2) > 140
        for class_id, x, y, width, height in boxes:
            left, top = round((x - width / 2) * 128), round((y - height / 2) * 128)
            side = round(width * 128)
            inside = bright[top : top + side, left : left + side]
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            # JPEG may blur an edge by a pixel.
            assert rows[0] <= 1 and columns[0] <= 1
            assert rows[-1] >= side - 2 and columns[-1] >= side - 2
            assert inside.mean() == pytest.approx(1 if CLASSES[int(class_id)] == "square" else np.pi / 4, abs=0.06)


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")

    with pytest.raises(ParameterError, match=r"exists and is not empty\. Remove it or name another folder"):
        make_sample(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("rfdetr_train.datasets.sample._data_yaml", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        make_sample(tmp_path / "shapes", train=1, valid=1, test=1)

    assert list(tmp_path.iterdir()) == []
