from .component import convert_dataset

__all__ = ["convert_dataset"]
