"""How far long work has come: a bar on a terminal, a few plain lines elsewhere, always on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

QUIET_SECONDS = 20.0  # between plain lines, so that a log stays short


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`, to be called with the number of items just finished out of `total`."""
    if sys.stderr.isatty():
        yield from _bar(label, total)
    else:
        yield from _lines(label, total)


def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n: bar.advance(task, n)


def _lines(label: str, total: int) -> Iterator[Callable[[int], None]]:
    done, last = 0, time.monotonic()

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        if done < total and time.monotonic() - last >= QUIET_SECONDS:
            print(f"{label}: {done:,} of {total:,}", file=sys.stderr, flush=True)
            last = time.monotonic()

    yield advance
    print(f"{label}: {done:,} of {total:,}", file=sys.stderr, flush=True)
