"""Start a training where it is wanted: torchrun in this pod. Kubeflow Trainer has its place beside it."""
