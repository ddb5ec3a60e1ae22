"""Workers that share a study on a real PostgreSQL server, started here from the system's package."""

import contextlib
import getpass
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rffd.errors import RffdError
from rffd.postgres import Postgres
from rffd.study import run_study
from tests.tabulated import Burst, objective, plan

pytestmark = pytest.mark.system
SECRET = "correct-horse"
FORK = multiprocessing.get_context("fork")


def binaries() -> Path:
    """Where the server's programs are: on PATH, or where Debian puts them; skip without."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folders = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    if not folders:
        pytest.skip("needs PostgreSQL's server (Debian: apt-get install postgresql)")
    return folders[-1]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an empty database; the user's name and password are in the environment."""
    pytest.importorskip("psycopg", reason="needs PostgreSQL's driver (pip install '.[postgres]')")
    folder = binaries()
    home = Path(tempfile.mkdtemp(prefix="rffd-postgres-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        shutil.chown(home, user)
    (home / "secret").write_text(SECRET + "\n")
    (home / "secret").chmod(0o644)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(folder / program), "-D", str(home / "data"), *arguments]
        done = subprocess.run(command, cwd=home, user=user, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "-U", "searcher", "-A", "scram-sha-256", f"--pwfile={home / 'secret'}", "--no-sync")
    run("pg_ctl", "start", "-w", "-l", str(home / "log"), "-o", f"-p {port} -c listen_addresses=127.0.0.1 -k {home}")
    environment = {"PGUSER": "searcher", "PGPASSWORD": SECRET}
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        yield f"postgresql://127.0.0.1:{port}/postgres"
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
        with contextlib.suppress(AssertionError):
            run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(home, ignore_errors=True)


def work(address: str, name: str, pause: float, log: Path) -> None:
    way = Postgres(address, beat=1, silence=3)
    run_study(plan(name=name, pruner="none"), objective(9, pause, log), way, failures=(Burst,))
    way.close()


def test_two_workers_one_killed(server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "starts"
    workers = [FORK.Process(target=work, args=(server, "killed", pause, log)) for pause in (0.01, 30)]
    for worker in workers:
        worker.start()
    while not log.exists() or str(workers[1].pid) not in log.read_text():
        time.sleep(0.01)
    workers[1].kill()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, -9]
    way = Postgres(server, beat=1, silence=3)
    outcomes = run_study(plan(name="killed", pruner="none"), objective(), way, failures=(Burst,))
    way.close()
    assert [o.number for o in outcomes] == list(range(14))
    assert {o.state for o in outcomes} <= {"complete", "failed"}
    starts = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert len(starts) == 15, "each trial once, and the dead worker's once more"
    lost = next(values for pid, values in starts if int(pid) == workers[1].pid)
    assert [pid for pid, values in starts if values == lost] == [str(workers[1].pid), str(workers[0].pid)]
    told = capfd.readouterr()
    assert SECRET not in told.out + told.err


def test_a_long_trial_of_a_living_worker_is_left_alone(server: str, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    workers = [FORK.Process(target=work, args=(server, "slow", pause, log)) for pause in (0.0, 0.7)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(log.read_text().splitlines()) == 14, "6 s without a report is longer than the silence of a dead one"


def test_a_wrong_password_is_one_clear_line_without_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong-battery")
    with pytest.raises(RffdError, match=r"database postgres, can't be used .*password authentication failed") as caught:
        Postgres(server)
    assert "wrong-battery" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None and getpass.getuser() not in str(caught.value).split("PGUSER")[1]
