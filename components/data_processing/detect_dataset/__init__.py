from .component import detect_dataset

__all__ = ["detect_dataset"]
