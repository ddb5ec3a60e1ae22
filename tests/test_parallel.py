import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from rffd.errors import RffdError
from rffd.images import UnreadableImage
from rffd.parallel import spread


def slow_square(value: int) -> int:
    time.sleep(0.02 if value % 7 == 0 else 0)
    return value * value


def fail_at(bad: int, value: int) -> int:
    if value == bad:
        raise UnreadableImage("some.jpg", f"at {value}")
    return value


def die(value: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return value


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_whatever_the_number_of_workers(workers):
    assert list(spread(slow_square, range(100), "test", workers=workers, chunk=4)) == [i * i for i in range(100)]


def test_nothing_to_do_gives_nothing():
    assert list(spread(slow_square, [], "test")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_here_with_its_line(workers):
    with pytest.raises(UnreadableImage, match=r"some\.jpg: at 30"):
        list(spread(partial(fail_at, 30), range(60), "test", workers=workers, chunk=4))


def test_a_killed_worker_is_one_line_not_a_hang():
    with pytest.raises(RffdError, match="a worker process was killed"):
        list(spread(die, range(8), "test", workers=2, chunk=2))


def test_items_are_taken_as_needed_so_that_memory_is_bounded():
    started = []

    class Items:
        def __len__(self):
            return 1000

        def __getitem__(self, piece):
            started.append(piece.start)
            return list(range(1000))[piece]

    results = spread(slow_square, Items(), "test", workers=2, chunk=10)
    assert next(results) == 0
    assert len(started) <= 9
    results.close()


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import os, time\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from rffd.parallel import spread\n"
        "def work(folder, i):\n"
        "    (folder / str(os.getpid())).touch(); time.sleep(0.2)\n"
        "if __name__ == '__main__':\n"
        f"    list(spread(partial(work, Path({str(tmp_path)!r})), range(10000), 'test', workers=2, chunk=1))\n"
    )
    (tmp_path / "main.py").write_text(code)
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while len(pids := [p.name for p in tmp_path.iterdir() if p.name.isdigit()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    while any(_alive(int(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(int(pid)) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False


def test_a_log_gets_one_line(capsys):
    list(spread(slow_square, range(5), "squares"))
    assert capsys.readouterr().err == "squares: 5 of 5\n"
