from s3server import s3_bucket  # noqa: F401
