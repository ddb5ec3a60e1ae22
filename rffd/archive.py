"""Reading a downloaded zip without trusting it: names stay inside, sizes are bounded, links are refused."""

import contextlib
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from rffd.errors import RffdError

MAX_FILE = 1 << 30  # bytes unpacked; no photograph comes near
MAX_RATIO = 20  # unpacked to packed, over the whole archive; JPEGs hardly shrink, bombs shrink 1000-fold
ALWAYS_FINE = 1 << 30  # bytes unpacked in all that need no such check

Member = tuple[PurePosixPath, Callable[[], IO[bytes]]]


@contextlib.contextmanager
def archive_files(path: Path) -> Iterator[list[Member]]:
    """Open a zip and yield its files: the path inside, and a function that opens it for reading."""
    if not path.exists():
        raise RffdError(f"data.path={path} does not exist; set it to the zip that you downloaded")
    if path.is_dir():
        raise RffdError(f"data.path={path} is a folder; set it to the downloaded zip, or set data.source=folder")
    try:
        with zipfile.ZipFile(path) as archive:
            yield _members(archive, path)
    except zipfile.BadZipFile as error:
        raise RffdError(f"{path}: not a zip, or only a part of one ({error}); download it again") from error
    except (zlib.error, EOFError) as error:
        raise RffdError(f"{path}: damaged ({error}); download it again") from error
    except NotImplementedError as error:
        raise RffdError(
            f"{path}: packed in a way that can't be read ({error}); unpack it and use data.source=folder"
        ) from error


def _members(archive: zipfile.ZipFile, path: Path) -> list[Member]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    members: list[Member] = []
    for info in infos:
        name = info.filename.replace("\\", "/")
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive:
            raise RffdError(f"{path}: '{info.filename}' would leave the target folder; not a zip to trust")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RffdError(f"{path}: '{info.filename}' is a link, not a file; not a zip to trust")
        if info.flag_bits & 1:
            raise RffdError(f"{path}: '{info.filename}' is encrypted; unpack it and use data.source=folder")
        if info.file_size > MAX_FILE:
            raise RffdError(f"{path}: '{info.filename}' unpacks to {info.file_size:,} bytes; no photograph is so large")
        members.append((inside, partial(archive.open, info)))
    total, packed = sum(info.file_size for info in infos), path.stat().st_size
    if total > max(ALWAYS_FINE, MAX_RATIO * packed):
        raise RffdError(f"{path}: {packed:,} bytes would unpack to {total:,}; taken for a zip bomb")
    return members
