"""The tests of tests.storage.test_s3, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.storage.test_s3 import *

s3_bucket = radosgw.s3_bucket
