"""An HTTP proxy in front of a real server that fails as a test tells it to, and counts what passes.

    with FaultProxy(endpoint) as proxy:
        proxy.fail(3, status=503, code="SlowDown")

A rule applies to the next ``times`` requests that match ``when``; the first rule that matches wins.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Match = Callable[["Request"], bool]
_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class Request:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int
    time: float = field(default_factory=time.monotonic)


@dataclass
class _Rule:
    times: int
    when: Match
    act: Callable[[_Handler, bytes], None]


class FaultProxy:
    """Listens on the loopback interface; ``url`` is its address, ``requests`` what came in so far."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        """Start listening in front of ``upstream``, with TLS when a context is given."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self  # type: ignore[attr-defined]
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        self.requests: list[Request] = []
        self.released = threading.Event()
        self._rules: list[_Rule] = []
        self._down = False
        self._lock = threading.Lock()

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, method: str | None = None, text: str = "") -> int:
        """Requests of a method whose path holds a text."""
        return sum(1 for item in self.requests if method in (None, item.method) and text in item.path)

    def down(self) -> None:
        """Begin an outage: every connection is reset."""
        self._down = True

    def up(self) -> None:
        """End the outage."""
        self._down = False

    def fail(self, times: int, *, status: int, code: str = "", when: Match = lambda _: True) -> None:
        """Answer with an S3 error."""
        body = f"<Error><Code>{code}</Code><Message>canary-of-the-answer</Message></Error>".encode() if code else b""
        self.add(times, lambda handler, _: handler.answer(status, [], body), when)

    def reset(self, times: int, *, after: int = 0, when: Match = lambda _: True) -> None:
        """Cut the connection after so many bytes of the answer's body."""
        self.add(times, lambda handler, body: handler.forward(body, cut=after), when)

    def lose(self, times: int, *, when: Match = lambda _: True) -> None:
        """Hand the request on and cut the connection instead of answering."""
        self.add(times, lambda handler, body: handler.forward(body, lose=True), when)

    def slow(self, times: int, *, seconds: float, when: Match = lambda _: True) -> None:
        """Wait before the request is handed on."""

        def act(handler: _Handler, body: bytes) -> None:
            time.sleep(seconds)
            handler.forward(body)

        self.add(times, act, when)

    def hang(self, times: int, *, when: Match = lambda _: True) -> None:
        """Give no answer until ``released`` is set."""

        def act(handler: _Handler, _: bytes) -> None:
            self.released.wait(60)
            handler.cut()

        self.add(times, act, when)

    def add(self, times: int, act: Callable[[_Handler, bytes], None], when: Match = lambda _: True) -> None:
        """Do anything else instead of handing on; ``act`` gets the handler and the body."""
        self._rules.append(_Rule(times, when, act))

    def take(self, request: Request) -> Callable[[_Handler, bytes], None]:
        """Note a request and say what to do with it."""
        with self._lock:
            self.requests.append(request)
            if self._down:
                return lambda handler, _: handler.cut()
            for rule in self._rules:
                if rule.times > 0 and rule.when(request):
                    rule.times -= 1
                    return rule.act
        return lambda handler, body: handler.forward(body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        proxy.take(Request(self.command, self.path, dict(self.headers.items()), len(body)))(self, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def forward(self, body: bytes, cut: int | None = None, lose: bool = False) -> None:
        """Hand the request on and the answer back: whole, or only ``cut`` bytes of it, or nothing."""
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)  # type: ignore[attr-defined]
        try:
            # The Host header stays: it is part of the signature.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*_HOP, "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            if lose:
                self.cut()
            else:
                self.answer(answer.status, answer.getheaders(), content, cut)
        except OSError:
            self.cut()
        finally:
            upstream.close()

    def stall(self, body: bytes, after: int) -> None:
        """Hand the request on, and send only so many bytes of the answer's body until ``released`` is set."""
        write = self.wfile.write

        def begin(data: bytes) -> None:
            write(data[:after])
            if len(data) > after:
                self.wfile.flush()
                self.server.proxy.released.wait(60)  # type: ignore[attr-defined]

        self.wfile.write = begin  # type: ignore[method-assign]
        self.forward(body)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None = None) -> None:
        """Send an answer, or only ``cut`` bytes of its body."""
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {*_HOP, "content-length"}:
                self.send_header(name, value)
        length = (
            next((v for n, v in headers if n.lower() == "content-length"), None) if self.command == "HEAD" else None
        )
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.cut()

    def cut(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
