"""Many slow calls at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

_PAUSE = 0.005  # seconds
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Apply a function to every item on a pool of threads; results come in the order of the items.

    The first exception is raised at its place and the calls that have not started are dropped.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, items)


def map_unordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Apply a function to every item on threads; results come as they are ready, items are taken as threads get free.

    The first exception is raised as soon as it happens, and no further item is taken; so too where the caller stops
    asking. A call that has begun is waited for. The items may come from a generator, which is closed in the end.
    """
    try:
        if workers <= 1:
            yield from map(function, items)
        else:
            yield from _on_threads(function, items, workers)
    finally:
        if isinstance(items, Generator):
            items.close()


def _on_threads(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Do the work of ``map_unordered``."""
    source, lock, stop, end = iter(items), threading.Lock(), threading.Event(), object()
    results: queue.SimpleQueue[tuple[Any, BaseException | None] | None] = queue.SimpleQueue()

    def take() -> Iterator[Any]:
        while True:
            with lock:
                item = end if stop.is_set() else next(source, end)
            if item is end:
                return
            yield item

    def work() -> None:
        try:
            for item in take():
                results.put((function(item), None))
        except BaseException as error:
            results.put((None, error))
        results.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    try:
        for thread in threads:
            thread.start()
        yield from _until_all_end(results, workers)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident:
                thread.join()


def _until_all_end(results: queue.SimpleQueue[tuple[Any, BaseException | None] | None], running: int) -> Iterator[Any]:
    """Yield what threads put into a queue; each ends with None."""
    while running:
        answer = results.get()
        if answer is None:
            running -= 1
            continue
        result, error = answer
        if error is not None:
            raise error
        yield result
        if results.empty():
            # To be woken for every result means to fight with the threads for the interpreter each time: bringing
            # 2,000 small objects from S3 took 0.72 CPU seconds without this pause, and 0.63 with it.
            time.sleep(_PAUSE)
