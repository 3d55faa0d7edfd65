"""The objects of a Kubernetes API in memory, with resource versions, selectors and a history for watches."""

import copy
import threading
import uuid
from datetime import UTC, datetime


def now():
    """The present time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects by collection and name, of one namespace."""

    def __init__(self):
        """Begin empty, with a version that is not 1."""
        self.changed = threading.Condition(threading.RLock())
        self.version = 1000
        self.compacted = 0
        self._objects = {}
        self._history = []

    def put(self, collection, found):
        """Create an object or replace it; gives the stored one."""
        with self.changed:
            name = found["metadata"]["name"]
            before = self._objects.get((collection, name))
            metadata = {"uid": str(uuid.uuid4()), "creationTimestamp": now()} if before is None else {}
            kept = {key: before["metadata"][key] for key in ("uid", "creationTimestamp")} if before else {}
            stored = copy.deepcopy(found)
            stored["metadata"] = {**metadata, **stored["metadata"], **kept}
            self._record("ADDED" if before is None else "MODIFIED", collection, stored)
            return copy.deepcopy(stored)

    def change(self, collection, name, change):
        """Change an object in place by a function."""
        with self.changed:
            found = self.get(collection, name)
            change(found)
            return self.put(collection, found)

    def remove(self, collection, name):
        """Delete an object."""
        with self.changed:
            found = self._objects.pop((collection, name))
            self._record("DELETED", collection, found)

    def get(self, collection, name):
        """A copy of an object; None where there is none."""
        with self.changed:
            return copy.deepcopy(self._objects.get((collection, name)))

    def list(self, collection, labels="", fields=""):
        """Copies of the objects that selectors select."""
        with self.changed:
            found = [item for (kind, _), item in self._objects.items() if kind == collection]
            return [copy.deepcopy(item) for item in found if selected(item, labels, fields)]

    def expire(self):
        """Forget the history: a watch from before now is answered with 410."""
        with self.changed:
            self.version += 1
            self.compacted = self.version
            self.changed.notify_all()

    def events_since(self, collection, version, labels, fields):
        """The events of a watch after a version."""
        with self.changed:
            return [
                (number, kind, found)
                for number, name, kind, found in self._history
                if name == collection and number > version and selected(found, labels, fields)
            ]

    def _record(self, kind, collection, found):
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self._objects[collection, found["metadata"]["name"]] = found
        self._history.append((self.version, collection, kind, copy.deepcopy(found)))
        self.changed.notify_all()


def selected(found, labels, fields):
    """Whether an object has the labels and fields of two selectors."""
    present = found["metadata"].get("labels") or {}
    for part in filter(None, labels.split(",")):
        name, equals, value = part.partition("=")
        if name not in present or (equals and present[name] != value):
            return False
    return all(
        str(_field(found, part.partition("=")[0])) == part.partition("=")[2] for part in filter(None, fields.split(","))
    )


def _field(found, path):
    for key in path.split("."):
        found = found.get(key, {})
    return found
