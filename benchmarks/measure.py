"""What all benchmarks share: a row of the table, and repeats in turns, so that a busy minute hits both sides."""

import resource
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was measured, against what, their ratio, and what it has to be.

    `ratio` is None where the hardware for it isn't there; a row without `at_least` and `at_most` is only told.
    """

    what: str
    measured: str
    against: str = ""
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The target in words, empty without one."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    @property
    def holds(self) -> bool | None:
        """Whether the ratio is on the right side of the target; None without a target or a measurement."""
        if self.ratio is None or not self.target:
            return None
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )


Rows = Iterator[Row]


def in_turns(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Call each side once a turn, in an order that turns about; what each gave, turn by turn."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else names[::-1]:
            found[name].append(sides[name]())
    return found


def ratio(over: list[float], under: list[float]) -> float:
    """The median of the turns' own ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


class OwnMemory:
    """The peak of this process's own memory (RssAnon) so far, MiB, looked at every few milliseconds from now on.

    Pages of a mapped file belong to the file: the system takes them back when someone needs them. Elsewhere than on
    Linux they can't be told apart, and count.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(0.01):
            self.look()

    def look(self) -> float:
        """The peak, now included."""
        status = Path("/proc/self/status")
        if not status.exists():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon"):
                self.peak = max(self.peak, int(line.split()[1]) / 1024)
        return self.peak
