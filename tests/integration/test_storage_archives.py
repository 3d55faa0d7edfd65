"""The tests of tests.storage.test_archives, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.storage.test_archives import *

s3_bucket = radosgw.s3_bucket
