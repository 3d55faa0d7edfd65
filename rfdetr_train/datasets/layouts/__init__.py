"""Names the layout of a dataset from a listing and a few small files: a module for each family of layouts.

The way in is ``find_layout``. No image and no label row is read beyond a few that tell what they are.
"""

from rfdetr_train.datasets.layouts.find import find_layout

__all__ = ["find_layout"]
