"""The MLflow run of a training: parameters, metrics, checkpoints."""
