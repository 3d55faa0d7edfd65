"""What the repository promises of itself."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = ["rfdetr_train", "pipelines", "components", "pyproject.toml", "README.md", "LICENSE"]
LOCKS = ["requirements.lock", "requirements-build.lock", "images/cpu/requirements.lock", "images/gpu/requirements.lock"]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_generated_documentation_is_current():
    check = [sys.executable, ROOT / "docs" / "generate.py", "--check"]
    ended = subprocess.run(check, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # In a copy: setuptools leaves a build folder beside the sources.
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in git("ls-files", *PACKAGED).split():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", target, source]
    subprocess.run(build, check=True)
    (path,) = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_has_no_top_level_package_of_a_common_name(wheel):
    top = {name.split("/")[0] for name in wheel.namelist() if ".dist-info" not in name}
    assert top == {"rfdetr_train", "rfdetr_pipelines"}


def test_wheel_has_every_module_and_data_file(wheel):
    tracked = [Path(name) for name in git("ls-files", "rfdetr_train", "pipelines", "components").split()]
    wanted = {path for path in tracked if path.suffix in (".py", ".jinja", ".json") and "tests" not in path.parts}
    wanted.add(Path("pipelines/rfdetr_training/rfdetr_training.yaml"))
    names = {"pipelines": "rfdetr_pipelines", "components": "rfdetr_pipelines/components"}
    expected = {"/".join([names.get(path.parts[0], path.parts[0]), *path.parts[1:]]) for path in wanted}
    assert expected <= set(wheel.namelist())


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_a_hash_for_every_package_and_names_no_host(lock):
    text = (ROOT / lock).read_text()
    packages = re.findall(r"^\S+==\S+.*?(?=^\S|\Z)", text, re.M | re.S)
    assert packages
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text
    assert "--index" not in text


def test_images_have_the_versions_that_are_tested():
    versions = dict(re.findall(r"^(\S+==\S+)( ;[^\\]*)?", (ROOT / "requirements.lock").read_text(), re.M))
    for lock in LOCKS[2:]:
        ours = re.findall(r"^(\S+==\S+)", (ROOT / lock).read_text(), re.M)
        assert set(ours) <= set(versions), lock


def test_cpu_image_has_no_torch():
    assert not re.search(r"^(torch|rfdetr|nvidia)", (ROOT / "images/cpu/requirements.lock").read_text(), re.M)


def test_every_direct_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    table = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M)
    explained = {bare(name) for row in table for name in row.split(", ")}
    assert {bare(dependency) for dependency in wanted} - explained == set()


def bare(requirement):
    """Name of a distribution without extras and versions."""
    return re.split(r"[\[<>=]", requirement)[0].strip().lower()


FORBIDDEN = [
    ("rfdetr_train", {"kfp", "components", "pipelines", "rfdetr_pipelines"}),
    ("rfdetr_train/datasets", {"torch", "torchvision", "rfdetr", "pytorch_lightning", "mlflow"}),
    ("rfdetr_train/storage", {"torch", "torchvision", "rfdetr", "pytorch_lightning", "mlflow"}),
    ("rfdetr_train/training", {"kubernetes"}),
]


@pytest.mark.parametrize(("room", "modules"), FORBIDDEN, ids=[room for room, _ in FORBIDDEN])
def test_room_imports_nothing_that_it_may_not_touch(room, modules):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        assert not imported_by(file) & modules, file


def imported_by(file):
    """Top-level names of every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found
