"""A study in one file on one machine: appended by any number of processes, sound whenever one of them dies.

Optuna's own lock for its journal is a link that a killed process leaves behind; the kernel releases ours.
"""

import contextlib
import fcntl
import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

WORKER = "worker"  # the trial's attribute that names who runs it


class Journal:
    """One process's way to the journal at `path`. While open it holds a lock of its own, which shows it alive."""

    shared = True

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.worker = uuid.uuid4().hex
        self._alive = _locked(self._worker_file(self.worker))
        self._append = AppendLock(path)
        self._append.acquire()
        try:
            cut = trim(path)
        finally:
            self._append.release()
        if cut:
            print(f"{path.name}: {cut} torn bytes at the end dropped; what they told is done again", file=sys.stderr)
        self.storage = JournalStorage(JournalFileBackend(str(path), lock_obj=self._append))  # type: ignore[arg-type]  # a lock by its methods

    def close(self) -> None:
        """Let go of the sign of life."""
        self._worker_file(self.worker).unlink(missing_ok=True)
        self._alive.close()

    @contextlib.contextmanager
    def mutex(self) -> Iterator[None]:
        """Hold the right to claim trials, which one worker has at a time."""
        with _locked(self.path.with_name(f"{self.path.name}.claim")):
            yield

    def claim(self, trial_id: int) -> None:
        """Put our name on a trial, before it counts as running."""
        self.storage.set_trial_user_attr(trial_id, WORKER, self.worker)

    def dead(self, study_name: str) -> list[int]:
        """Ids of trials that count as running, but whose worker lives no more. Call it under `mutex`."""
        study_id = self.storage.get_study_id_from_name(study_name)
        running = self.storage.get_all_trials(study_id, deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        return [
            self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            for trial in running
            if not self._lives(trial.user_attrs.get(WORKER, ""))
        ]

    @contextlib.contextmanager
    def beating(self, trial_id: int) -> Iterator[None]:
        """Show that we are at a trial: the worker's lock does."""
        yield

    def _worker_file(self, worker: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{worker}.alive")

    def _lives(self, worker: str) -> bool:
        path = self._worker_file(worker)
        if worker == self.worker:
            return True
        try:
            with path.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False


class AppendLock:
    """What Optuna takes before it appends; whoever takes it first removes half a line that a dead one left."""

    def __init__(self, path: Path):
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, then make sure that the journal ends with a whole line."""
        self._file = _locked(self.path.with_name(f"{self.path.name}.append"))
        if self.path.exists():
            with self.path.open("r+b") as journal:
                _cut_last(journal)
        return True

    def release(self) -> None:
        """Let go of the lock."""
        assert self._file is not None
        self._file.close()
        self._file = None


def trim(path: Path) -> int:
    """Drop what follows the last sound line of a journal; return how many bytes that was."""
    if not path.exists():
        return 0
    good = 0
    with path.open("r+b") as journal:
        for line in journal:
            try:
                sound = line.endswith(b"\n") and isinstance(json.loads(line), dict)
            except ValueError:
                sound = False
            if not sound:
                break
            good += len(line)
        size = journal.seek(0, os.SEEK_END)
        journal.truncate(good)
    return size - good


def _cut_last(journal: IO[bytes]) -> None:
    """Cut an unfinished last line, looking at no more than its end."""
    size = journal.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        start = max(0, end - 4096)
        journal.seek(start)
        found = journal.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        journal.truncate(end)


def _locked(path: Path) -> IO[str]:
    file = path.open("a+")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
