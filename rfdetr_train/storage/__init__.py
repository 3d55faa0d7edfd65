"""Where bytes lie: a folder or an S3 prefix behind one narrow protocol.

The way in is ``open_store``. Nothing here knows what the bytes mean.
"""

from rfdetr_train.storage.parallel import map_parallel
from rfdetr_train.storage.store import ObjectInfo, Store, check_key, open_store
from rfdetr_train.storage.uri import Location, parse_location

__all__ = ["Location", "ObjectInfo", "Store", "check_key", "map_parallel", "open_store", "parse_location"]
