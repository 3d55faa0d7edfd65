"""The tests here are others', run against servers that are not on every machine."""

from pathlib import Path

import pytest
import radosgw


def pytest_collection_modifyitems(items):
    absent = radosgw.missing()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            if absent:
                item.add_marker(
                    pytest.mark.skip(reason=f"not installed: {absent[0]}; apt-get install {radosgw.PACKAGES}")
                )
