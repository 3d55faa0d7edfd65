"""What part of its time a training that is killed at random spends on work that counts, by theory.

Young (1974) gave the optimal interval between checkpoints, Daly (2006, doi:10.1016/j.future.2004.11.016) the time that
a job takes when failures come at random with a constant rate.
"""

from __future__ import annotations

from math import exp, sqrt


def optimal_interval(cost: float, mean_time_between_kills: float) -> float:
    """Seconds between checkpoints that lose the least.

    Args:
        cost: Seconds of a checkpoint.
        mean_time_between_kills: Seconds.
    """
    return sqrt(2 * cost * mean_time_between_kills)


def ratio(interval: float, cost: float, restart: float, mean_time_between_kills: float) -> float:
    """Share of the time that goes into work that is kept.

    Args:
        interval: Seconds of work between two checkpoints.
        cost: Seconds of a checkpoint.
        restart: Seconds from a start to the first work.
        mean_time_between_kills: Seconds.
    """
    mean = mean_time_between_kills
    return interval / (mean * exp(restart / mean) * (exp((interval + cost) / mean) - 1))
