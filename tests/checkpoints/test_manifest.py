import msgspec
import pytest

from rfdetr_train.checkpoints.manifest import (
    MAX_BYTES,
    Manifest,
    PublishedFile,
    candidates,
    is_object_key,
    key_of,
    object_key,
    read_manifest,
)
from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage import open_store

SHA = "0123456789abcdef" * 4
FILE = {"name": "checkpoint.pth", "bytes": 5, "sha256": SHA, "object": "checkpoint.pth"}
MANIFEST = {
    "version": 1,
    "run_id": "run",
    "generation": 2,
    "sequence": 7,
    "epoch": 1,
    "step": 70,
    "position": 4,
    "fingerprint": "print",
    "world_size": 2,
    "parameters": {"epochs": 3, "extra_train_args": {"clip_max_norm": 0.1}},
    "files": [FILE],
    "created_ms": 1,
}
KEY = "manifests/000002-00000007.json"


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


def read(store, **changes):
    store.write(KEY, msgspec.json.encode(MANIFEST | changes))
    return read_manifest(store, KEY)


def test_manifest_is_read_back_and_names_its_own_place(store):
    manifest = read(store)
    assert msgspec.to_builtins(manifest) == MANIFEST
    assert key_of(manifest) == KEY
    assert object_key(manifest.files[0]) == f"objects/{SHA}/checkpoint.pth"


def test_candidates_are_newest_first_by_generation_then_sequence(store):
    keys = [f"manifests/{key}.json" for key in ("000001-00000012", "000002-00000003", "000010-00000001")]
    for key in [*keys, "manifests/1-2.json", "manifests/notes.txt", "checkpoint.pth"]:
        store.write(key, b"")
    assert candidates(store) == keys[::-1]


@pytest.mark.parametrize("field", ["name", "object"])
@pytest.mark.parametrize(
    "name",
    [
        "../checkpoint.pth",
        "/etc/passwd",
        "a/checkpoint.pth",
        "..",
        "",
        "s3://other/checkpoint.pth",
        "checkpoint_01.pth",
        "checkpoint_0.pth",
        "checkpoint_1.pth\n",
        "checkpoint_١.pth",
        "checkpoint.pth\0",
        "lease.json",
    ],
)
def test_name_that_leaves_the_folder_of_the_run_is_refused(store, field, name):
    with pytest.raises(CheckpointError, match=r"is damaged: .* is no file of a checkpoint"):
        read(store, files=[FILE | {field: name}])


@pytest.mark.parametrize("sha", ["", SHA[:-1], SHA + "0", SHA.upper(), "../" + SHA[3:], SHA[:-1] + "\n", "g" * 64])
def test_digest_that_is_none_is_refused(store, sha):
    with pytest.raises(CheckpointError, match="is not 64 hexadecimal digits"):
        read(store, files=[FILE | {"sha256": sha}])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "has version 2, 1 is known here"),
        ({"generation": 3}, "says that it is manifests/000003-00000007.json"),
        ({"sequence": 8}, "says that it is manifests/000002-00000008.json"),
        ({"generation": 0}, "is damaged"),
        ({"step": -1}, "is damaged"),
        ({"sequence": 10**8}, "is damaged"),
        ({"unknown": 1}, "is damaged"),
        ({"files": [FILE | {"bytes": -1}]}, "is damaged"),
        ({"files": [FILE | {"bytes": 1 << 41}]}, "is damaged"),
        ({"files": [FILE | {"bucket": "other"}]}, "is damaged"),
        ({"files": [FILE, FILE]}, "names a file twice"),
        ({"files": []}, r"names no checkpoint\.pth"),
        ({"fingerprint": "x" * MAX_BYTES}, "is refused: .* is larger than"),
    ],
)
def test_manifest_that_cannot_be_trusted_is_refused_with_the_reason(store, changes, reason):
    with pytest.raises(CheckpointError, match=f"{KEY} .*{reason}"):
        read(store, **changes)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 1', b"\xff\xfe", b'{"version": "1"}'])
def test_half_a_manifest_is_damaged(store, data):
    store.write(KEY, data)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_manifest(store, KEY)


def test_key_of_an_object_is_never_outside_of_the_objects():
    assert is_object_key(f"objects/{SHA}/checkpoint_10.pth")
    for key in (f"objects/{SHA}/x", f"objects/{SHA}", f"objects/{SHA}/checkpoint.pth/x", "lease.json", f"o/{SHA}/x"):
        assert not is_object_key(key)


def test_resume_does_not_fetch_interval_checkpoints(store):
    interval = FILE | {"name": "checkpoint_2.pth"}
    manifest = read(store, files=[FILE, interval, FILE | {"name": "metrics.csv", "object": "metrics.csv"}])
    assert [entry.name for entry in manifest.commit().files] == ["checkpoint.pth", "metrics.csv"]
    assert [file.name for file in manifest.intervals] == ["checkpoint_2.pth"]
    assert isinstance(manifest, Manifest) and isinstance(manifest.files[0], PublishedFile)
    assert manifest.progress == (1, 70)
