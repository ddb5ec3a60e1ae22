"""What the words on a command line mean: which pictures, and which model."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from rffd.errors import RffdError
from rffd.names import IMAGE_SUFFIXES

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")


def find_images(names: Iterable[str], stdin: TextIO | None = None) -> Iterator[str]:
    """Yield paths one by one for files, folders (searched to the bottom, sorted), quoted globs and `-`.

    `-` reads names from `stdin`, one a line. A name that leads nowhere is yielded as it is: reading it gives
    the error. A folder without images raises `RffdError` once everything else was yielded.
    """
    empty = []
    for name in names:
        if name == "-":
            lines = (line.rstrip("\r\n") for line in stdin or sys.stdin)
            yield from find_images(line for line in lines if line and line != "-")
        elif os.path.isdir(name):  # noqa: PTH112 - names stay as they were typed
            count = 0
            for count, path in enumerate(_walk(name), 1):  # noqa: B007
                yield path
            if not count:
                empty.append(name)
        elif not os.path.lexists(name) and glob.has_magic(name):
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
            if found:
                yield from find_images(found)
            else:
                empty.append(name)
        else:
            yield name
    if empty:
        raise RffdError(f"no images in {', '.join(empty)} (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                yield os.path.join(parent, name)  # noqa: PTH118


def default_model() -> Path:
    """Where `dvc.yaml`, here or in a folder above, says that the artifact `detector` lies."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "dvc.yaml").is_file():
            try:
                artifacts = (YAML(typ="safe").load(folder / "dvc.yaml") or {}).get("artifacts") or {}
            except YAMLError as error:
                raise RffdError(f"{folder / 'dvc.yaml'}: not valid YAML ({' '.join(str(error).split())})") from error
            if "detector" in artifacts:
                return folder / artifacts["detector"]["path"]
    raise RffdError("no dvc.yaml with an artifact 'detector' here: name a model with --model (a folder or a Hub id)")


def find_model(name: str | None) -> Path:
    """The folder of a packaged model: a local one, the project's own (`None`), or one on the Hub
    (`owner/name` or `owner/name@revision`), which is downloaded once."""
    folder = default_model() if name is None else Path(name)
    if (folder / "config.json").is_file():
        return folder
    if name and not folder.exists() and _HUB_ID.fullmatch(name) and not folder.parent.exists():
        from rffd.hub import download_model

        return download_model(*name.partition("@")[::2])
    if name is None:
        shown = os.path.relpath(folder)
        raise RffdError(f"{shown}: no model there yet; run `make repro`, or `dvc pull {shown}` if it was pushed")
    raise RffdError(f"{folder}: {'not a packaged model (no config.json)' if folder.exists() else 'no such folder'}")
