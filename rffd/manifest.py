"""What a packaged folder holds, file by file, in the format of `sha256sum`: written once, checked before it is used."""

import hashlib
from pathlib import Path

from rffd.errors import RffdError
from rffd.files import sha256

CHECKSUMS = "SHA256SUMS"


def write_checksums(folder: Path) -> list[str]:
    """Write `SHA256SUMS` over every file in `folder`; return `sha256 bytes path` a file, that one included."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    paths = _paths(folder)
    lines = "".join(f"{sha256(folder / path)}  {path}\n" for path in paths)
    (folder / CHECKSUMS).write_text(lines, encoding="utf-8")
    return [f"{sha256(folder / p)} {(folder / p).stat().st_size} {p}" for p in sorted([*paths, CHECKSUMS])]


def read_checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a package by its path; an altered, missing or additional one is an error."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        listed = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise RffdError(f"{folder}: no packaged model ({CHECKSUMS} can't be read); run `dvc repro package`") from error
    present = set(_paths(folder)) - {CHECKSUMS}
    for path in sorted(present ^ set(listed)):
        wrong = f"not in {CHECKSUMS}" if path in present else "missing"
        raise RffdError(f"{folder / path}: {wrong}; run `dvc repro package`")
    for path, digest in listed.items():
        if sha256(folder / path) != digest:
            raise RffdError(f"{folder / path}: changed since it was packaged; run `dvc repro package`")
    return {**listed, CHECKSUMS: sha256(folder / CHECKSUMS)}


def content_hash(checksums: dict[str, str]) -> str:
    """One hash for a whole package: that of its sorted `sha256  path` lines."""
    return hashlib.sha256("".join(f"{checksums[p]}  {p}\n" for p in sorted(checksums)).encode()).hexdigest()


def _paths(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
