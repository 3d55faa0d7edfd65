"""The tests of tests.training.test_same_data, against Ceph's gateway."""

# ruff: noqa: F403
import radosgw

from tests.training.test_same_data import *

s3_bucket = radosgw.s3_bucket
