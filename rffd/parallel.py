"""The same work on many items, on all cores: results in the items' order, memory bounded, progress shown."""

import collections
import itertools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from rffd.errors import RffdError
from rffd.progress import progress

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    function: Callable[[T], R], items: Sequence[T], label: str, *, workers: int | None = None, chunk: int = 16
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, computed by `workers` processes (default: all cores).

    `function` and `items` must pickle (`functools.partial` of a module's function does). What it raises is
    raised here. At most a few chunks a worker are under way at any time. Short work stays in this process.
    """
    workers = min(workers or cores(), math.ceil(len(items) / chunk))
    with progress(label, len(items)) as advance:
        if workers <= 1:
            for item in items:
                yield function(item)
                advance(1)
            return
        # spawn: OpenCV and BLAS threads of this process don't survive a fork
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            waiting: collections.deque[Future[list[R]]] = collections.deque()
            pieces = _pieces(items, chunk)
            try:
                while True:
                    for piece in itertools.islice(pieces, 4 * workers - len(waiting)):
                        waiting.append(pool.submit(_run, function, piece))
                    if not waiting:
                        return
                    results = waiting.popleft().result()
                    yield from results
                    advance(len(results))
            except BrokenProcessPool:
                raise RffdError(f"{label}: a worker process was killed; is memory short? run it again") from None
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def in_threads(function: Callable[[T], R], items: Sequence[T], *, workers: int | None = None) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, computed by `workers` threads (default: all cores).

    For work that lets go of Python's lock (decoding, resizing, a model's forward pass); nothing is pickled. A few
    items a worker are under way at any time.
    """
    workers = workers or cores()
    pool, left = ThreadPoolExecutor(workers), iter(items)
    waiting: collections.deque[Future[R]] = collections.deque()
    try:
        while True:
            for item in itertools.islice(left, 2 * workers - len(waiting)):
                waiting.append(pool.submit(function, item))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _run(function: Callable[[T], R], piece: Sequence[T]) -> list[R]:
    return [function(item) for item in piece]


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()  # returns when the parent is gone, killed or not
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
