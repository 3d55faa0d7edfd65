"""The tests of tests.storage.test_stores, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.storage.test_stores import *

s3_bucket = radosgw.s3_bucket
