"""Clients of an S3 bucket, set up from the AWS_* environment."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import obstore

from rfdetr_train.storage.credentials import shared_credentials
from rfdetr_train.storage.endpoint import ca_certificates, endpoint_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much at once and how long.

    Attributes:
        part_bytes: Size of a part of an upload, at least the 5 MiB of S3; each is tried again by itself.
        parts: Parts on their way at once, for one file: nearly all of what an upload adds to the memory.
        whole_bytes: Up to this size an object of many is brought in one request, beside the others.
        range_bytes: Size of a part of a download, which streams to the disk.
        ranges: The same of a download; only a few MiB of each are in memory.
        silence: Seconds without a byte from the server, or with one part, after which a request counts as failed.
        retries: How often a request is tried again.
        retry_seconds: After so many seconds a request is not tried again.
        file_seconds: Deadline of a file, all attempts together.
    """

    part_bytes: int = 5 << 20
    parts: int = 20
    whole_bytes: int = 64 << 20
    range_bytes: int = 8 << 20
    ranges: int = 24
    silence: float = 60.0
    retries: int = 8
    retry_seconds: float = 60.0
    file_seconds: float = 900.0


def connect(bucket: str, prefix: str, limits: Limits) -> obstore.store.S3Store:
    """Make a client; reads the environment and the credentials file anew.

    Raises:
        ParameterError: The environment names an endpoint that is not allowed, or a missing certificate file.
    """
    endpoint = endpoint_url()
    config = shared_credentials()
    if endpoint:
        config["endpoint"] = config["aws_endpoint_url_s3"] = _with_bucket(endpoint, bucket)
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "read_timeout": timedelta(seconds=limits.silence),
        # A part that trickles in is slow, not lost: obstore's own limit of 30 s would cut it off.
        "timeout": timedelta(seconds=limits.silence * 10),
    }
    certificates = ca_certificates()
    if certificates:
        options["root_certificate"] = certificates
    retry: RetryConfig = {"max_retries": limits.retries, "retry_timeout": timedelta(seconds=limits.retry_seconds)}
    return obstore.store.S3Store(
        bucket, prefix=prefix or None, config=config, client_options=options, retry_config=retry
    )


def abort_uploads(bucket: str, prefix: str) -> int:
    """Abort the unfinished multipart uploads of a key, or of all keys in a folder, and return their number.

    They are invisible, and paid for until somebody aborts them. obstore cannot list them. A failure is logged: it
    must not hide the one that led here.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        _log.warning("Unfinished uploads to s3://%s/%s stay there: boto3 is not installed.", bucket, prefix)
        return 0
    style = "virtual" if _virtual() else "path" if endpoint_url() else "auto"
    settings = Config(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": style}
    )
    aborted = 0
    try:
        region = os.environ.get("AWS_REGION")  # which boto3 does not read
        client = boto3.client("s3", endpoint_url=endpoint_url() or None, region_name=region, config=settings)
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                if f"{upload['Key']}/".startswith(f"{prefix}/".lstrip("/")):
                    client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    aborted += 1
    except (BotoCoreError, ClientError) as error:
        _log.warning("Unfinished uploads to s3://%s/%s may stay there: %s.", bucket, prefix, type(error).__name__)
    return aborted


def _virtual() -> bool:
    return os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true"


def _with_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint as obstore wants it: with the bucket in its host name where the environment asks for that."""
    parts = urlsplit(endpoint)
    if not _virtual() or parts.netloc.startswith(f"{bucket}."):
        return endpoint
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
