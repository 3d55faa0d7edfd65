"""A dataset in one .zip or .tar, on disk or in S3, as a read-only store. The way in is ``open_archive``.

An archive is read where it lies and never unpacked as a whole; nothing in it is trusted.
"""

from rfdetr_train.storage.archives.open import open_archive

__all__ = ["open_archive"]
