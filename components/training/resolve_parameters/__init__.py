from .component import resolve_parameters

__all__ = ["resolve_parameters"]
