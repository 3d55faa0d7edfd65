"""Score a checkpoint on a split and report it."""
