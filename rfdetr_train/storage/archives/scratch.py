"""Files on the local disk that nobody sees and that go away with their user."""

from __future__ import annotations

import os
import tempfile
import weakref

from rfdetr_train.errors import InfrastructureError


def close_with(owner: object, descriptor: int) -> None:
    """Close a file when the object that uses it goes away."""
    weakref.finalize(owner, os.close, descriptor)


def read_at(descriptor: int, position: int, count: int) -> bytes:
    """Read bytes at a place of a file, fewer only where it ends."""
    found = os.pread(descriptor, count, position)
    # Linux gives 2 GiB at most.
    while len(found) < count and (more := os.pread(descriptor, count - len(found), position + len(found))):
        found += more
    return found


class Scratch:
    """A file without a name in the folder for temporary files, written and read at any place."""

    def __init__(self) -> None:
        """Make it, empty."""
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        close_with(self, self._descriptor)

    def write(self, position: int, data: bytes | memoryview) -> None:
        """Write all of some bytes.

        Raises:
            InfrastructureError: The disk is full.
        """
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, position)
                position, view = position + written, view[written:]
        except OSError as error:
            raise InfrastructureError(
                f"The folder for temporary files, {tempfile.gettempdir()}, cannot be written to ({error.strerror}). "
                "Name another one in TMPDIR."
            ) from None

    def read(self, position: int, count: int) -> bytes:
        """Read bytes that were written."""
        return read_at(self._descriptor, position, count)
