"""What a failed S3 request means and which setting mends it; never the server's answer, which may quote signatures."""

from __future__ import annotations

import os
import re

from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from rfdetr_train.errors import DatasetError, InfrastructureError, RfdetrTrainError
from rfdetr_train.storage.credentials import credentials_source
from rfdetr_train.storage.retry import TransientError
from rfdetr_train.storage.store import Conflict

_REFUSED = {
    "AccessDenied",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_OTHER_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_CAUSES = {
    "dns error": "the name of the server does not resolve",
    "ConnectionRefused": "connection refused",
    "ConnectionReset": "the connection broke",
    "kind: Timeout": "no answer in time",
}
_PASSING = {408, 429, 500, 502, 503, 504}


class AccessRefused(InfrastructureError):
    """The server does not accept the credentials, or they do not suffice."""


def explain(error: Exception, where: str) -> RfdetrTrainError:
    """Build our error of a failed request.

    Args:
        error: What obstore raised.
        where: Address of the object.
    """
    text = str(error)
    code, status = error_code(error), _status(text)
    if isinstance(error, AlreadyExistsError | PreconditionError):
        return Conflict(f"{where} was written by somebody else: it is not the version that was expected.")
    if code == "NoSuchBucket":
        return DatasetError(
            f"The bucket of {where} does not exist. Check its name and AWS_ENDPOINT_URL; where the server wants the "
            "bucket in the host name, set AWS_VIRTUAL_HOSTED_STYLE_REQUEST=true."
        )
    if code in _OTHER_REGION or "redirect without LOCATION" in text:
        return InfrastructureError(_other_region(text, where))
    if code in _REFUSED or status in (401, 403) or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return AccessRefused(
            f"Access to {where} was refused ({code or 'no permission'}). The credentials come from "
            f"{credentials_source()}. Renew them, or extend the policy of the bucket."
        )
    if "empty path segment" in text:
        return DatasetError(f"{where} holds a key with an empty part ('//'). Rename the object.")
    if "InvalidCertificate" in text:
        return InfrastructureError(
            f"The request for {where} failed: this machine does not trust the server's certificate. Put the "
            "certificate of its authority into a file and name it in AWS_CA_BUNDLE."
        )
    return _other(text, code, status, where)


def error_code(error: Exception) -> str:
    """Return the error code of an S3 answer, "" where there was no answer."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found.group(1) if found else ""


def _other(text: str, code: str, status: int, where: str) -> InfrastructureError:
    """Build the error of a request without or with an unknown answer; it passes unless the client is to blame."""
    lost = "HTTP error" in text and "builder error" not in text
    seen = next((meaning for mark, meaning in _CAUSES.items() if mark in text), "")
    reason = code or seen or (f"status {status}" if status else text.splitlines()[0].rpartition(" - ")[2][:200])
    kind = TransientError if lost or status in _PASSING else InfrastructureError
    hint = ""
    if lost and os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true":
        hint = " AWS_VIRTUAL_HOSTED_STYLE_REQUEST puts the bucket into the host name, which must resolve."
    return kind(
        f"The request for {where} failed ({reason}).{hint} Check AWS_ENDPOINT_URL, AWS_REGION and the network, and "
        "try again."
    )


def _other_region(text: str, where: str) -> str:
    """Build the message for a bucket that lies elsewhere."""
    found = re.search(r"<Region>([a-z0-9-]{1,32})</Region>|expecting '([a-z0-9-]{1,32})'", text)
    here = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1, the default"
    wanted = (found.group(1) or found.group(2)) if found else "the region of the bucket"
    return (
        f"{where} lies in another region or behind another address: AWS_REGION is {here}. Set AWS_REGION to {wanted}; "
        "where the server wants the bucket in the host name, set AWS_VIRTUAL_HOSTED_STYLE_REQUEST=true."
    )


def _status(text: str) -> int:
    """Return the HTTP status of an answer, 0 where there was none."""
    found = re.search(r"status code: (\d{3})", text)
    return int(found.group(1)) if found else 0
