"""A small S3 server with the delays of a real one: a first byte that takes its time, and a limit for each connection.

    python benchmarks/s3_standin.py FIRST_BYTE_SECONDS BYTES_PER_SECOND

It knows what the clients of the transfer benchmark ask for, keeps everything in memory, checks no signature, and
prints its address. Both limits are sleeps and so cost no CPU: what is measured is how a client uses its connections.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
from urllib.parse import parse_qs, unquote, urlsplit

_BLOCK = 1 << 20
_numbers = itertools.count(1)
_objects: dict[str, bytes | list[bytes]] = {}
_uploads: dict[str, dict[int, bytes]] = {}


class Connection:
    """One client, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection; the limits are those of the command line."""
        self._reader, self._writer = reader, writer
        self._first_byte, self._rate = float(sys.argv[1]), float(sys.argv[2])

    async def serve(self) -> None:
        """Answer until the client goes away."""
        try:
            while line := await self._reader.readline():
                method, target, _ = line.decode().split(" ", 2)
                headers = {}
                while (line := await self._reader.readline()).strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                await self._answer(method, target, headers)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _answer(self, method: str, target: str, headers: dict[str, str]) -> None:
        if headers.get("expect") == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._receive(int(headers.get("content-length", 0)))
        if "aws-chunked" in headers.get("content-encoding", ""):
            body = _unchunk(body)
        await asyncio.sleep(self._first_byte)
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path).strip("/")
        if method == "PUT":
            await self._send(200, etag=_put(key, query, body))
        elif method == "POST":
            await self._send(200, _post(key, query))
        elif method in ("GET", "HEAD"):
            await self._get(method, key, query, headers.get("range"))
        else:
            await self._send(204)

    async def _get(self, method: str, key: str, query: dict[str, str], wanted: str | None) -> None:
        if "list-type" in query:
            await self._send(200, _list(key, query))
        elif key not in _objects:
            await self._send(
                404 if "/" in key else 200, b"<Error><Code>NoSuchKey</Code></Error>" if "/" in key else b""
            )
        else:
            content = _content(key)
            first, last = 0, len(content) - 1
            if wanted:
                begin, _, end = wanted.removeprefix("bytes=").partition("-")
                first, last = int(begin), min(int(end or last), last)
            shown = f"Content-Range: bytes {first}-{last}/{len(content)}\r\n" if wanted else ""
            head = method == "HEAD"
            await self._send(206 if wanted else 200, memoryview(content)[first : last + 1], _tag(content), shown, head)

    async def _receive(self, size: int) -> bytes:
        """Read a body no faster than the limit."""
        blocks = []
        while size:
            block = await self._reader.readexactly(min(_BLOCK, size))
            blocks.append(block)
            size -= len(block)
            await asyncio.sleep(len(block) / self._rate)
        return b"".join(blocks)

    async def _send(
        self, status: int, body: bytes | memoryview = b"", etag: str = "", extra: str = "", head: bool = False
    ) -> None:
        """Write an answer no faster than the limit."""
        modified = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        tag = f'ETag: "{etag}"\r\n' if etag else ""
        start_line = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\nAccept-Ranges: bytes\r\n"
        self._writer.write(f"{start_line}{modified}{tag}{extra}\r\n".encode())
        for start in range(0, 0 if head else len(body), _BLOCK):
            block = body[start : start + _BLOCK]
            self._writer.write(block)
            await self._writer.drain()
            await asyncio.sleep(len(block) / self._rate)
        await self._writer.drain()


def _tag(content: bytes) -> str:
    return hashlib.md5(content[:64] + str(len(content)).encode(), usedforsecurity=False).hexdigest()


def _content(key: str) -> bytes:
    """The bytes of an object; its parts are joined at the first reading."""
    found = _objects[key]
    if isinstance(found, list):
        found = _objects[key] = b"".join(found)
    return found


def _put(key: str, query: dict[str, str], body: bytes) -> str:
    if "uploadId" in query:
        _uploads[query["uploadId"]][int(query["partNumber"])] = body
    else:
        _objects[key] = body
    return _tag(body)


def _post(key: str, query: dict[str, str]) -> bytes:
    if "uploads" in query:
        number = str(next(_numbers))
        _uploads[number] = {}
        bucket, _, name = key.partition("/")
        fields = f"<Bucket>{bucket}</Bucket><Key>{name}</Key><UploadId>{number}</UploadId>"
        return f"<InitiateMultipartUploadResult>{fields}</InitiateMultipartUploadResult>".encode()
    if "uploadId" in query:
        _objects[key] = [part for _, part in sorted(_uploads.pop(query["uploadId"]).items())]
        return b'<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>'
    _objects.clear()  # DeleteObjects, between two repeats
    return b"<DeleteResult></DeleteResult>"


def _list(bucket: str, query: dict[str, str]) -> bytes:
    items = "".join(
        f"<Contents><Key>{key.partition('/')[2]}</Key><Size>{len(_content(key))}</Size>"
        f"<ETag>&quot;{_tag(_content(key))}&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key in sorted(_objects)
        if key.startswith(f"{bucket}/{query.get('prefix', '')}")
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


def _unchunk(body: bytes) -> bytes:
    """Take the frames out of an aws-chunked body."""
    blocks, position = [], 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end].split(b";")[0], 16)
        if not size:
            return b"".join(blocks)
        blocks.append(body[end + 2 : end + 2 + size])
        position = end + 2 + size + 2


async def main() -> None:
    """Listen on a free port until killed."""
    server = await asyncio.start_server(lambda r, w: Connection(r, w).serve(), "127.0.0.1", 0, limit=4 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
