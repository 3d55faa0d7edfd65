"""Turn pydantic's errors into instructions: name, value, what is allowed, the nearest valid value."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

SEE = "docs/parameters.md"
_LONGEST_VALUE = 80


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for each mistake, in the order of the parameters.

    Args:
        error: What pydantic found.
        model: The parameter table, for the names of the parameters.
    """
    return "\n".join(_line(problem, model) for problem in error.errors(include_url=False))


def _line(problem: Any, model: type[BaseModel]) -> str:
    if not problem["loc"]:
        return _from_validator(problem)
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown parameter.{_did_you_mean(name, list(model.model_fields))} See {SEE}."
    if problem["type"] == "missing":
        return f"{name}: required, but not given. See {SEE}#{name}."
    found = repr(problem["input"])
    found = found if len(found) <= _LONGEST_VALUE else found[:_LONGEST_VALUE] + "…"
    return f"{name}: {found} is not allowed; wanted {_wanted(problem)}.{_nearest(problem)} See {SEE}#{name}."


def _from_validator(problem: Any) -> str:
    message = str(problem["ctx"]["error"])
    return f"{message.rstrip('.')}. See {SEE}#{message.split(':')[0]}."


def _wanted(problem: Any) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "less_than_equal":
            return f"at most {context['le']:.0f}"
        case "greater_than":
            return f"more than {context['gt']:g}"
        case "literal_error":
            return f"one of {context['expected']}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "a finite number"
        case "bool_parsing" | "bool_type":
            return "true or false"
        case "string_type":
            return "text"
        case "string_too_short":
            return "text that is not empty"
        case "string_pattern_mismatch":
            return f"text like {context['pattern']}"
        case "dict_type":
            return "a JSON object"
        case "value_error":
            return str(context["error"])
        case _:
            return str(problem["msg"])


def _nearest(problem: Any) -> str:
    context, value = problem.get("ctx", {}), problem["input"]
    match problem["type"]:
        case "greater_than_equal":
            return f" Nearest valid value: {context['ge']:g}."
        case "less_than_equal":
            return f" Nearest valid value: {context['le']:.0f}."
        case "int_from_float":
            return f" Nearest valid values: {int(value // 1)}, {int(value // 1) + 1}."
        case "int_parsing" if _is_number(value):
            return f" Nearest valid values: {int(float(value) // 1)}, {int(float(value) // 1) + 1}."
        case "literal_error":
            allowed = [part.strip("' ") for part in context["expected"].replace(" or ", ",").split(",")]
            return _did_you_mean(str(value), allowed)
        case _:
            return ""


def _is_number(value: Any) -> bool:
    try:
        return abs(float(value)) < 1e18
    except (TypeError, ValueError):
        return False


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
