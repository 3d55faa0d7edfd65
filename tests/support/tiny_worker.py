"""The training worker with the tiny encoder; torchrun starts it in the place of the real one (tests only)."""

import tiny_encoder

from rfdetr_train.training.worker import main

if __name__ == "__main__":
    tiny_encoder.install()
    main()
