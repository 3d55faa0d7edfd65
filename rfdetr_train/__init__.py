"""Train, evaluate and promote RF-DETR detectors; the library inside the images of rfdetr-pipelines."""

__version__ = "0.1.0"
