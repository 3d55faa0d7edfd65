"""How many images an epoch has at least. Imports no torch: the launcher says it before anything is started."""

from __future__ import annotations

MIN_EFFECTIVE_BATCHES = 5  # rfdetr.training.module_data._MIN_TRAIN_BATCHES, compared by a test
