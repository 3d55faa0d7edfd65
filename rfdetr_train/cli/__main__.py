"""``python -m rfdetr_train.cli``."""

from rfdetr_train.cli import main

main()
