"""A process of its own for each side of a comparison, kept alive between its turns: neither warms, slows or tunes the
other, and each has a peak of memory of its own."""

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks.measure import OwnMemory

Make = Callable[..., Callable[[], float]]


class Side:
    """`make(*arguments)`, called in a fresh process, gives a function; each call of the side runs that and returns
    its value. The first call is run once beforehand, untold, to warm up."""

    def __init__(self, make: Make, *arguments: object):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=False)
        self._process.start()
        theirs.close()
        self.peak = 0.0  # of its own memory so far, MiB
        self()

    def __call__(self) -> float:
        try:
            self._pipe.send("go")
            answer = self._pipe.recv()
        except (EOFError, BrokenPipeError):
            raise RuntimeError("the side's process ended") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        value, self.peak = answer
        return value

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def _serve(pipe: Connection, make: Make, arguments: tuple) -> None:
    try:
        memory = OwnMemory()
        run = make(*arguments)
        while True:
            pipe.recv()
            value = run()
            pipe.send((value, memory.look()))
    except (EOFError, BrokenPipeError):  # nobody waits for us any more
        return
    except Exception:
        pipe.send(traceback.format_exc())
