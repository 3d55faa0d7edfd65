from .component import evaluate_detector

__all__ = ["evaluate_detector"]
