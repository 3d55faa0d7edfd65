"""The list of faults in the documentation, compared with the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
NUMBERS = [*range(1, 37), 43, 44]


def rows():
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if re.match(r"\| \d+ \|", line)]
    return {int(number): re.findall(r"`([^`]+)`", tests) for number, _, _, tests in cells}


def functions_of(path):
    return re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)


def test_every_fault_has_its_row_and_at_least_one_test():
    listed = rows()
    assert list(listed) == NUMBERS
    assert [number for number, tests in listed.items() if not tests] == []


def test_every_test_that_is_listed_exists():
    for test in {test for tests in rows().values() for test in tests}:
        path, _, name = test.partition("::")
        assert name in functions_of(ROOT / path if "/" in path else HERE / path), test


def test_every_test_of_a_fault_is_listed():
    files = set(HERE.glob("test_*.py")) - {Path(__file__)}
    found = {f"{file.name}::{name}" for file in files for name in functions_of(file)}
    assert found - {test for tests in rows().values() for test in tests} == set()
