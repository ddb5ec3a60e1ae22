"""Keeps photographs, weights and archives out of git: they belong to DVC.

Run: python -m tests.large_files FILE...   (the pre-commit hook hands it what is to be committed)
"""

import subprocess
import sys
from pathlib import Path

LIMIT = 500_000  # bytes; the catalogue of the real dataset, the largest table, has 350 kB
EMBEDDED, EMBEDDED_LIMIT = "rffd/embedded/", 4_000_000  # the backbone that the default needs; all its files together


def complaints(root: Path, names: list[str]) -> list[str]:
    """A line for each of `names` (relative to `root`) that is too large for git."""
    found, embedded = [], 0
    for name in names:
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        size = path.stat().st_size
        if name.startswith(EMBEDDED):
            embedded += size
        elif size > LIMIT:
            found.append(f"{name}: {size:,} bytes, over {LIMIT:,}; keep it in DVC (dvc add {name})")
    if embedded > EMBEDDED_LIMIT:
        found.append(f"{EMBEDDED}: {embedded:,} bytes, over {EMBEDDED_LIMIT:,} together; make the backbone smaller")
    return found


def tracked(root: Path) -> list[str]:
    """What git holds or is about to hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


if __name__ == "__main__":
    problems = complaints(Path.cwd(), sys.argv[1:] or tracked(Path.cwd()))
    sys.exit("\n".join(f"error: {line}" for line in problems) or 0)
