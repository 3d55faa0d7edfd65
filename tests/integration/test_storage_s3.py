"""The tests of tests.storage.test_s3, against Ceph's gateway."""

# ruff: noqa: F403, F821
import radosgw

from tests.storage.test_s3 import *

s3_bucket = radosgw.s3_bucket

# The header that this one takes out on the way is part of the signature, which Ceph verifies.
del test_answer_of_a_server_that_knows_no_conditions_is_refused_by_its_tag
