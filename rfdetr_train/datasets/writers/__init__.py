"""Writes splits: label files of YOLO, annotation files of COCO, and the sidecar that makes the way back lossless.

``content`` says what goes into a split, ``yolo`` and ``coco`` write it, ``images`` brings its images.
"""
