"""Which server S3 requests may go to: the one of AWS_ENDPOINT_URL, if it is no address of this machine or its cloud."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from rfdetr_train.errors import InfrastructureError, ParameterError

ALLOWED_VARIABLE = "RFDETR_ALLOWED_ENDPOINTS"
_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CA_VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")
_PROBE_SECONDS = 5.0
# Metadata services outside of the link-local range: AWS on IPv6, Azure, Alibaba.
_METADATA = {ipaddress.ip_address(text) for text in ("fd00:ec2::254", "168.63.129.16", "100.100.100.200")}
_answered: set[str] = set()  # endpoints that do not redirect


def endpoint_url() -> str:
    """The endpoint of the environment, checked; "" for AWS itself.

    Raises:
        ParameterError: It is no http(s) address, carries a password, or names a machine that is not allowed.
    """
    variable = next((name for name in _VARIABLES if os.environ.get(name)), "")
    if not variable:
        return ""
    url = os.environ[variable]
    try:
        parts = urlsplit(url)
        host, port, secret = parts.hostname or "", parts.port, "@" in parts.netloc
    except ValueError:
        parts, host, port, secret = None, "", None, False
    if secret:
        raise ParameterError(
            f"{variable} holds a user name or a password. Take them out: credentials belong in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        )
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise ParameterError(f"{variable} must be the address of an S3 server: http(s)://host[:port].")
    if not _allowed(host, port):
        _refuse_local(host, port, variable)
    return url.rstrip("/")


def ca_certificates() -> bytes | None:
    """The additional certificate authorities of the environment, in PEM.

    Raises:
        ParameterError: The file that a variable names cannot be read.
    """
    path = _ca_file()
    if path is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise ParameterError(
            f"{' or '.join(_CA_VARIABLES)} names {path}, which cannot be read ({error.strerror}). Mount the file."
        ) from None


def refuse_redirect(endpoint: str, bucket: str) -> None:
    """Ask the endpoint once whether it sends its clients elsewhere, which obstore would follow when it reads.

    Raises:
        InfrastructureError: It does, and the other host is not allowed.
    """
    if not endpoint or endpoint in _answered:
        return
    context = ssl.create_default_context(cafile=_ca_file()) if endpoint.startswith("https:") else None
    opener = urllib.request.build_opener(_NoRedirect(), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="HEAD")
    try:
        opener.open(request, timeout=_PROBE_SECONDS).close()
    except urllib.error.HTTPError as answer:
        target = urlsplit(answer.headers.get("Location") or "")
        if target.hostname and not _allowed(target.hostname, target.port):
            raise InfrastructureError(
                f"The S3 server of {_VARIABLES[1]} redirects to another address, '{target.hostname}', which is not "
                f"followed. Write the final address into {_VARIABLES[1]}, or allow it: {ALLOWED_VARIABLE}="
                f"{target.hostname}."
            ) from None
    except (OSError, ValueError):
        return  # no answer: the request itself says so, and better
    _answered.add(endpoint)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes an error of every redirect."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _ca_file() -> str | None:
    return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), None)


def _allowed(host: str, port: int | None) -> bool:
    """Whether the environment allows a host by name, with or without its port."""
    allowed = {item.strip().lower() for item in os.environ.get(ALLOWED_VARIABLE, "").split(",")}
    return host in allowed or f"{host}:{port}" in allowed


def _refuse_local(host: str, port: int | None, variable: str) -> None:
    """Refuse a host that is, or resolves to, this machine or a metadata service.

    A name that does not resolve is left to the request.
    """
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, address in found:
        kind = _kind(str(address[0]).partition("%")[0])
        if kind:
            raise ParameterError(
                f"{variable} names '{host}', which is {kind}: S3 is not expected there, and a request could reach what "
                f"is not meant for it. Correct {variable}, or allow it: {ALLOWED_VARIABLE}={host}."
            )


def _kind(text: str) -> str:
    """Say what is wrong with an address, "" where nothing is."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_link_local or address in _METADATA:
        return "a link-local or metadata address"
    if address.is_loopback or address.is_unspecified:
        return "this machine itself"
    return ""
