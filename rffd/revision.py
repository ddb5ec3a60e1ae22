"""Which version of the project this is, as git and gto know it."""

import re
import subprocess

ARTIFACT = "detector"  # its name in dvc.yaml, and in gto's tags


def registered_version() -> str | None:
    """The version that gto registered for the artifact at HEAD: of its tag `detector@v0.1.0`, `v0.1.0`."""
    names = [line.partition("@") for line in _git("tag", "--points-at", "HEAD").splitlines()]
    versions = [version for name, _, version in names if name == ARTIFACT and re.fullmatch(r"v\d[\w.+-]*", version)]
    return max(versions, key=_order) if versions else None


def _order(version: str) -> tuple[list[int], str]:
    return [int(part) for part in version[1:].split(".") if part.isdigit()], version


def source_revision() -> str:
    """The commit at HEAD, marked if tracked files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD").strip()
    if not head:
        return "unknown"
    return f"{head} with changes" if _git("status", "--porcelain", "--untracked-files=no").strip() else head


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
