"""The tests of tests.faults.test_storage_access, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.faults.test_storage_access import *

s3_bucket = radosgw.s3_bucket
