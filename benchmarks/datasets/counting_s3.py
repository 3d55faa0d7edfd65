"""An S3 server on this machine that counts the bytes of the bodies that it receives and sends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BUCKET = "bench"
_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class Counter:
    """What passed since the last ``take``.

    Attributes:
        requests: Requests of any kind.
        sent: Bytes of the bodies of all answers, listings included.
        received: Bytes of the bodies of all requests.
    """

    requests: int = 0
    sent: int = 0
    received: int = 0

    def take(self) -> Counter:
        """Return what was counted, and begin anew."""
        taken = Counter(self.requests, self.sent, self.received)
        self.requests = self.sent = self.received = 0
        return taken


@contextmanager
def counting_server() -> Iterator[Counter]:
    """Serve until the end of the block; the environment points clients to the server, which has one bucket."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            """Say nothing."""

    counter = Counter()
    app = _counting(DomainDispatcherApplication(create_backend_app), counter)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-value",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RFDETR_ALLOWED_ENDPOINTS": "127.0.0.1",
    }
    try:
        client().create_bucket(Bucket=BUCKET)
        yield counter
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.shutdown()


def client() -> Any:
    """Return a boto3 client of the server."""
    import boto3

    return boto3.client("s3")


def _counting(app: _App, counter: Counter) -> _App:
    """Wrap an application so that the bytes of its bodies are counted, those of HEAD, which are not sent, aside."""
    lock = threading.Lock()

    def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = [b"".join(app(environ, start_response))]
        with lock:
            counter.requests += 1
            counter.received += int(environ.get("CONTENT_LENGTH") or 0)
            counter.sent += 0 if environ["REQUEST_METHOD"] == "HEAD" else len(body[0])
        return body

    return counted
