import json
import math
from pathlib import Path

import pytest
from mlflow.utils.validation import _validate_metric

from rfdetr_train.errors import DatasetError, ExitCode
from rfdetr_train.evaluation.score import METRICS, score

CAT, DOG = 1, 2
# 50 x 50 px: medium in COCO's terms.
LEFT, RIGHT = [10, 10, 50, 50], [200, 10, 50, 50]


def annotation(image_id: int, category_id: int, bbox: list[float], **fields) -> dict:
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, **fields}


def detection(image_id: int, category_id: int, bbox: list[float], score: float = 0.9) -> dict:
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}


@pytest.fixture
def truth(tmp_path):
    def write(annotations: list[dict], images: int = 2, categories: dict[int, str] | None = None) -> Path:
        names = categories or {CAT: "cat", DOG: "dog"}
        path = tmp_path / "_annotations.coco.json"
        path.write_text(
            json.dumps(
                {
                    "images": [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(images)],
                    "categories": [{"id": i, "name": name} for i, name in names.items()],
                    "annotations": [{"id": i, **entry} for i, entry in enumerate(annotations)],
                }
            )
        )
        return path

    return write


def test_perfect_detections_score_one(truth):
    boxes = [(0, CAT, LEFT), (0, DOG, RIGHT), (1, CAT, RIGHT)]

    scores = score(truth([annotation(*box) for box in boxes]), [detection(*box) for box in boxes])

    assert (scores.AP, scores.AP50, scores.AP75, scores.APmedium) == pytest.approx((1, 1, 1, 1))
    assert (scores.AR1, scores.AR100) == (1, 1)
    assert (scores.image_count, scores.box_count, scores.detection_count) == (2, 3, 3)


def test_one_of_two_boxes_found_scores_51_of_101_recall_points(truth):
    # Precision is 1 up to recall 0.5 and 0 beyond: 51 of COCO's 101 recall points, 0.00 to 0.50.
    scores = score(truth([annotation(0, CAT, LEFT), annotation(1, CAT, RIGHT)]), [detection(0, CAT, LEFT)])

    assert pytest.approx(51 / 101) == scores.AP50
    assert pytest.approx(51 / 101) == scores.AP
    assert pytest.approx(0.5) == scores.AR100


def test_a_confident_wrong_detection_halves_precision(truth):
    found = [detection(0, CAT, RIGHT, 0.9), detection(0, CAT, LEFT, 0.5)]

    assert pytest.approx(0.5) == score(truth([annotation(0, CAT, LEFT)]), found).AP


def test_a_box_that_is_off_counts_up_to_its_overlap(truth):
    # 50 px wide, moved by 10: IoU = 40 / 60 = 0.667, right at 0.50, 0.55, 0.60 and 0.65 of the ten thresholds.
    scores = score(truth([annotation(0, CAT, LEFT)]), [detection(0, CAT, [20, 10, 50, 50])])

    assert pytest.approx((1, 0)) == (scores.AP50, scores.AP75)
    assert pytest.approx(0.4) == scores.AP


def test_areas_are_of_the_original_pixels_and_a_missing_size_is_none(truth):
    small, large = [0, 0, 31, 31], [100, 100, 97, 97]
    scores = score(truth([annotation(0, CAT, small), annotation(0, CAT, large)]), [detection(0, CAT, large)])

    assert (scores.APsmall, scores.APmedium, scores.APlarge) == (0, None, pytest.approx(1))
    assert (scores.ARsmall, scores.ARmedium, scores.ARlarge) == (0, None, 1)


def test_at_most_1_10_and_100_detections_count(truth):
    boxes = [[30 * (i % 20), 30 * (i // 20), 20, 20] for i in range(200)]
    scores = score(truth([annotation(0, CAT, box) for box in boxes]), [detection(0, CAT, box) for box in boxes])

    assert pytest.approx((1 / 200, 10 / 200, 100 / 200)) == (scores.AR1, scores.AR10, scores.AR100)


def test_no_detections_score_zero(truth):
    scores = score(truth([annotation(0, CAT, LEFT)]), [])

    assert (scores.AP, scores.AP50, scores.AR100, scores.detection_count) == (0, 0, 0, 0)
    assert scores.APlarge is None


def test_no_annotations_give_no_numbers_rather_than_bad_ones(truth):
    scores = score(truth([]), [detection(0, CAT, LEFT)])

    assert {getattr(scores, name) for name in METRICS} == {None}
    assert scores.finite_metrics() == {}


def test_a_detection_on_an_image_without_annotations_costs_precision(truth):
    found = [detection(1, CAT, RIGHT, 0.9), detection(0, CAT, LEFT, 0.5)]

    assert pytest.approx(0.5) == score(truth([annotation(0, CAT, LEFT)]), found).AP


def test_the_annotation_with_id_0_can_be_found(truth):
    # Plain pycocotools gives 0.0 here: it takes a match with annotation 0 for no match.
    path = truth([annotation(0, CAT, LEFT)])
    assert json.loads(path.read_text())["annotations"][0]["id"] == 0

    assert pytest.approx(1) == score(path, [detection(0, CAT, LEFT)]).AP


def test_annotations_that_share_an_id_all_count(truth):
    path = truth([annotation(0, CAT, LEFT, id=7), annotation(0, CAT, RIGHT, id=7)])

    assert pytest.approx(1) == score(path, [detection(0, CAT, LEFT), detection(0, CAT, RIGHT)]).AP


def test_a_crowd_region_neither_rewards_nor_punishes(truth):
    path = truth([annotation(0, CAT, LEFT), annotation(0, CAT, RIGHT, iscrowd=1)])
    scores = score(path, [detection(0, CAT, RIGHT, 0.9), detection(0, CAT, LEFT, 0.5)])

    assert (scores.AP, scores.box_count, scores.per_class[0].boxes) == pytest.approx((1, 1, 1))


def test_a_box_without_area_is_left_out_and_counted(truth):
    scores = score(truth([annotation(0, CAT, LEFT), annotation(0, CAT, [5, 5, 0, 0])]), [detection(0, CAT, LEFT)])

    assert (scores.AR100, scores.APsmall) == (1, None)
    assert (scores.box_count, scores.degenerate_count) == (1, 1)


def test_per_class_scores_name_annotated_and_trained_classes_but_no_unused_parent(truth):
    path = truth(
        [annotation(0, CAT, LEFT), annotation(0, CAT, RIGHT), annotation(1, CAT, LEFT), annotation(1, DOG, RIGHT)],
        categories={0: "animals", CAT: "cat", DOG: "dog", 3: "cow"},
    )
    found = [detection(0, CAT, LEFT), detection(0, CAT, RIGHT), detection(1, CAT, LEFT)]

    rows = score(path, found, categories=[CAT, DOG, 3]).per_class

    assert [(row.name, row.category_id, row.images, row.boxes, row.AP, row.AP50) for row in rows] == [
        ("cat", 1, 2, 3, 1.0, 1.0),
        ("dog", 2, 1, 1, 0.0, 0.0),
        ("cow", 3, 0, 0, None, None),
    ]


def test_a_trained_class_without_annotations_does_not_move_the_mean(truth):
    path = truth([annotation(0, CAT, LEFT)])
    found = [detection(0, CAT, LEFT), detection(0, DOG, RIGHT)]

    assert score(path, found, categories=[CAT, DOG]).AP == score(path, found).AP == pytest.approx(1)


def test_detections_may_come_from_a_json_file(truth, tmp_path):
    results = tmp_path / "detections.json"
    results.write_text(json.dumps([detection(0, CAT, LEFT)]))

    assert pytest.approx(1) == score(truth([annotation(0, CAT, LEFT)]), results).AP


def test_the_inputs_are_left_as_they_were_and_nothing_is_printed(truth, capfd):
    path, found = truth([annotation(0, CAT, LEFT)]), [detection(0, CAT, LEFT)]
    before = path.read_bytes()

    score(path, found)

    assert path.read_bytes() == before
    assert found == [detection(0, CAT, LEFT)]
    assert capfd.readouterr() == ("", "")


def test_numbers_equal_pycocotools_on_the_file_itself(truth, capfd):
    import numpy as np
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    boxes = [
        annotation(
            image, int(rng.integers(1, 3)), [*rng.uniform(0, 300, 2), *rng.uniform(8, 150, 2)], id=10 + 8 * image + k
        )
        for image in range(20)
        for k in range(8)
    ]
    for box in boxes:
        box |= {"area": box["bbox"][2] * box["bbox"][3] * rng.uniform(0.5, 1), "iscrowd": int(rng.random() < 0.05)}
    found = [
        detection(
            box["image_id"],
            box["category_id"],
            (np.array(box["bbox"]) * rng.uniform(0.85, 1.15, 4)).tolist(),
            rng.random(),
        )
        for box in boxes * 2
    ]
    path = truth(boxes, images=20)
    ours = score(path, found)

    reference = COCO(str(path))
    evaluator = COCOeval(reference, reference.loadRes([dict(entry) for entry in found]), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert [getattr(ours, name) for name in METRICS] == evaluator.stats.tolist()
    assert 0.05 < ours.AP < 0.95


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (detection(9, CAT, LEFT), r"Detection 0 is of image id 9, which is not among the 2 images of .*coco\.json"),
        (detection(0, 7, LEFT), r"Detection 0 has category id 7, but .* has 1, 2"),
        (detection(0, CAT, LEFT, math.nan), "not finite"),
        (detection(0, CAT, [0, 0, math.inf, 1]), "not finite"),
        ({"image_id": 0}, "not COCO results: Object missing required field"),
        (detection(0, CAT, [1, 2, 3]), r"`array` of length 4, got 3 - at `\$\[0\]\.bbox`"),
    ],
)
def test_detections_that_do_not_belong_are_refused_with_the_place(truth, found, message):
    with pytest.raises(DatasetError, match=message) as refused:
        score(truth([annotation(0, CAT, LEFT)]), [found])

    assert refused.value.exit_code == ExitCode.BAD_DATA


def test_a_category_that_the_file_does_not_list_is_refused(truth):
    with pytest.raises(DatasetError, match="category id 5 is used, but 'categories' lists only 1, 2"):
        score(truth([annotation(0, 5, LEFT)]), [])


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}'])
def test_a_file_that_is_not_coco_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_text(content)

    with pytest.raises(DatasetError, match=r"broken\.json is not the COCO JSON that scoring needs"):
        score(path, [])


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.json cannot be read: No such file"):
        score(tmp_path / "none.json", [])


def test_metric_names_are_accepted_by_mlflow_and_stay_apart(truth):
    names = ["red cell", "a/b", "a?b", "a:b", "..", "", "größe", "<script>", "x" * 400]
    path = truth([annotation(0, i, LEFT) for i in range(len(names))], categories=dict(enumerate(names)))

    metrics = score(path, [detection(0, 0, LEFT)]).finite_metrics()

    for name, value in metrics.items():
        _validate_metric(name, value, 0, 0)
    assert len([name for name in metrics if name.startswith("AP/")]) == len(names)
    assert metrics["AP/red cell"] == pytest.approx(1)
    assert {"AP/a_b", "AP/a_b_2", "AP/a_b_3", "AP/class 4", "AP/class 5", "AP/größe", "AP/_script_"} < set(metrics)


def test_metrics_are_finite_where_a_number_is_missing(truth):
    metrics = score(truth([annotation(0, CAT, LEFT)]), [], categories=[CAT, DOG]).finite_metrics()

    assert "APsmall" not in metrics and "AP/dog" not in metrics
    assert all(math.isfinite(value) for value in metrics.values())
