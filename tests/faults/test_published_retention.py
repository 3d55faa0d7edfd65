"""Fault: what is removed from the store fails to go, or is needed by somebody else."""

import pytest
from commits import WatchedStore, make_commit, publish_all, publisher
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.checkpoints.manifest import candidates, object_key, read_manifest
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import open_store


@pytest.fixture
def store(s3_bucket):  # noqa: F811
    return open_store(f"s3://{s3_bucket}/run/checkpoints")


def states(store):
    return {store.read(found.key) for found in store.list("objects")}


def publish(publishing, out, *sequences, **files):
    for sequence in sequences:
        make_commit(out, sequence, **files)
        assert publishing.flush(30).published_sequence == sequence


def test_best_and_latest_and_what_a_registered_model_names_are_never_removed(store, tmp_path):
    publish_all(tmp_path, store, 1, checkpoint_best_total=b"champion")
    champion = next(
        f for f in read_manifest(store, candidates(store)[0]).files if f.name == "checkpoint_best_total.pth"
    )
    publishing = publisher(tmp_path, store, protected=lambda: {object_key(champion)})
    publishing.start()
    publish(publishing, tmp_path, 2, 3, 4, 5, 6, checkpoint_best_total=b"best")
    publishing.stop()
    assert states(store) == {b"champion", b"best", b"state 4", b"state 5", b"state 6"}
    assert store.read(object_key(champion)) == b"champion"
    assert store.read("checkpoint_best_total.pth") == b"best"
    assert store.read("checkpoint.pth") == b"state 6"


@pytest.mark.parametrize("refused", ["manifests/", "objects/"])
def test_failing_delete_is_tried_again_and_never_leaves_a_manifest_without_its_objects(
    store, tmp_path, caplog, refused
):
    failing = [True]

    def hook(method, key):
        if method == "delete" and key.startswith(refused) and failing[0]:
            raise InfrastructureError("deleting was refused.")

    publishing = publisher(tmp_path, WatchedStore(store, hook))
    publishing.start()
    publish(publishing, tmp_path, 1, 2, 3, 4, 5)
    assert states(store) == {b"state 1", b"state 2", b"state 3", b"state 4", b"state 5"}
    for key in candidates(store):
        for file in read_manifest(store, key).files:
            assert store.exists(object_key(file))
    assert "could not be removed" in caplog.text
    assert publishing.degraded is None
    failing[0] = False
    publish(publishing, tmp_path, 6)
    publishing.stop()
    assert states(store) == {b"state 4", b"state 5", b"state 6"}
    assert len(candidates(store)) == 3
