from .component import train_rfdetr

__all__ = ["train_rfdetr"]
