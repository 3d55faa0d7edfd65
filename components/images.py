"""Image references of the components, defined here once; a deployment sets the variables when it compiles."""

import os

VERSION = "0.1.0"
CPU_IMAGE = os.environ.get("RFDETR_PIPELINES_CPU_IMAGE", f"ghcr.io/rfdetr-pipelines/cpu:{VERSION}")
GPU_IMAGE = os.environ.get("RFDETR_PIPELINES_GPU_IMAGE", f"ghcr.io/rfdetr-pipelines/gpu:{VERSION}")
