"""Where bytes lie: a folder or an S3 prefix behind one narrow protocol.

The way in is ``open_store``. Nothing here knows what the bytes mean.
"""

from rfdetr_train.storage.keys import by_folder, check_key
from rfdetr_train.storage.parallel import map_parallel
from rfdetr_train.storage.retry import TransientError, is_transient, retrying
from rfdetr_train.storage.store import Conflict, ObjectInfo, Store, Wanted, open_store
from rfdetr_train.storage.uri import Location, parse_location

__all__ = [
    "Conflict",
    "Location",
    "ObjectInfo",
    "Store",
    "TransientError",
    "Wanted",
    "by_folder",
    "check_key",
    "is_transient",
    "map_parallel",
    "open_store",
    "parse_location",
    "retrying",
]
