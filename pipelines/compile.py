"""Compile the pipeline to the YAML that is committed, uploaded and run."""

from pathlib import Path

from kfp import compiler

from rfdetr_pipelines.rfdetr_training.pipeline import rfdetr_training

PACKAGE = Path(__file__).parent / "rfdetr_training" / "rfdetr_training.yaml"


def compile_pipeline(path: Path = PACKAGE) -> None:
    """Write the compiled pipeline.

    Args:
        path: YAML file to write.
    """
    compiler.Compiler().compile(rfdetr_training, str(path))
