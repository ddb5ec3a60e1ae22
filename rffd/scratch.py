"""Where work in progress survives a crash: folders keyed by what they depend on, locked while in use.

`RFFD_SCRATCH` (absolute; `.scratch` in the project by default) is no DVC output, since DVC deletes outputs
before it runs a stage. Deleting it costs time, never correctness.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from rffd.errors import RffdError
from rffd.files import sha256


def scratch_root() -> Path:
    """The scratch folder of this project, or the one shared by name in `RFFD_SCRATCH`."""
    return Path(os.environ.get("RFFD_SCRATCH", ".scratch")).absolute()


def digest(*parts: Any) -> str:
    """A short hash of JSON-able values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def folder_digest(folder: Path) -> str:
    """A hash of a folder's file names and contents."""
    total = hashlib.sha256()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:20]


def code_digest(*modules: ModuleType) -> str:
    """A hash of modules' source files: a changed engine must not go on from an older one's work."""
    return digest([sha256(Path(module.__file__ or "")) for module in modules])


@contextlib.contextmanager
def scratch_folder(kind: str, key: str) -> Iterator[Path]:
    """Hold `<scratch>/<kind>/<key>` for this process alone.

    DVC killed leaves its stage running, so a second run in the same workspace is refused, naming the process;
    a run in another workspace (a queue worker's) waits for the first and then finds its result.
    """
    folder = scratch_root() / kind / key
    folder.mkdir(parents=True, exist_ok=True)
    workspace = str(Path.cwd())
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = _holder(lock.read())
            if holder.get("workspace") == workspace:
                raise RffdError(
                    f"process {holder.get('pid')} is already at this {kind} in this workspace; wait for it, or stop "
                    f"it (kill {holder.get('pid')}) and run again"
                ) from None
            print(
                f"waiting for process {holder.get('pid')} in {holder.get('workspace')}, which is at the same {kind}; "
                "its result will be used",
                file=sys.stderr,
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        json.dump({"pid": os.getpid(), "workspace": workspace}, lock)
        lock.flush()
        yield folder


def _holder(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {}
