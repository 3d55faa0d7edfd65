"""Report the final state of a pipeline run."""

from kfp import dsl

from rfdetr_pipelines.components.images import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def report_status(status: dsl.PipelineTaskFinalStatus, report: dsl.Output[dsl.Markdown]) -> None:
    """Say how a run ended, and why: the exit handler of the pipeline.

    Args:
        status: Given by KFP.
        report: State, failing step, class of the failure and its message, for people.
    """
    from rfdetr_train import steps

    steps.report_status(status.pipeline_job_resource_name, status.state, status.error_message, report.path)
