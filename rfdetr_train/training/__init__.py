"""What each training process runs: configs, trainer, callbacks, worker. Never talks to Kubernetes."""
