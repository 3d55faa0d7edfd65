"""A rank started by the real torchrun that trains in one of our ``ways``, named by BENCH_WAY."""

import os

import tiny_encoder

from rfdetr_train.training.worker import main
from trainings import ways

if __name__ == "__main__":
    ways.TINY = tiny_encoder.install
    getattr(ways, os.environ["BENCH_WAY"])()
    main()
