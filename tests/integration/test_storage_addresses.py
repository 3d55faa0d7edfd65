"""The tests of tests.faults.test_storage_addresses, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.faults.test_storage_addresses import *

s3_bucket = radosgw.s3_bucket
