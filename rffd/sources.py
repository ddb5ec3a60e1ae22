"""Where the images come from: drawn by the project, Kaggle, a downloaded zip or a folder.

Whatever the source, the result is `raw/real` and `raw/fake` with the files byte for byte and under their own
names. To add a source, add its name to `DataParams` and a branch to `acquire`.
"""

import contextlib
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from rffd.archive import archive_files
from rffd.errors import RffdError
from rffd.files import replacing
from rffd.kaggle import KaggleParams, download
from rffd.names import IMAGE_SUFFIXES, LABELS, label_of_folder
from rffd.params import require
from rffd.progress import progress
from rffd.sample import SampleParams, draw_sample

CHUNK = 1 << 20  # bytes read at a time


@dataclass(frozen=True, kw_only=True)
class ExpectParams:
    """How many images a download must hold; null: don't check."""

    real: int | None
    fake: int | None

    def __post_init__(self) -> None:
        for label in LABELS:
            number = getattr(self, label)
            require(number is None or number > 0, f"data.expect.{label}", number, "null or over 0")


@dataclass(frozen=True, kw_only=True)
class DataParams:
    """The section `data`."""

    source: Literal["sample", "kaggle", "archive", "folder"]
    path: str
    expect: ExpectParams
    kaggle: KaggleParams
    sample: SampleParams

    def __post_init__(self) -> None:
        require(bool(self.path.strip()), "data.path", "empty", "a folder or a zip (data/inbox if not used)")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: `path` inside it, and how to open it."""

    path: PurePosixPath
    open: Callable[[], IO[bytes]]


def acquire(params: DataParams, raw: Path) -> dict[str, int]:
    """Fill `raw` from the source that `params` name; return how many images each label got."""
    if params.source == "sample":
        with _writing(raw) as target:
            draw_sample(params.sample, target)
            return {label: len(list((target / label).iterdir())) for label in LABELS}
    if params.source == "folder":
        return bring(folder_files(Path(params.path), avoid=raw), raw, params.path)
    if params.source == "archive":
        with archive_files(Path(params.path)) as members:
            files = [SourceFile(path, opener) for path, opener in members]
            return bring(files, raw, params.path, params.expect)
    folder = download(params.kaggle)
    return bring(folder_files(folder, avoid=raw), raw, str(folder), params.expect)


def folder_files(folder: Path, avoid: Path) -> list[SourceFile]:
    """Every file under `folder`, links followed, none twice; `avoid` (our own output) must not be inside."""
    if not folder.is_dir():
        problem = "is no folder (for a zip set data.source=archive)" if folder.exists() else "does not exist"
        raise RffdError(f"data.path={folder} {problem}; it must hold the images in real/ and fake/")
    if avoid.resolve().is_relative_to(folder.resolve()):
        raise RffdError(f"data.path={folder} holds {avoid}, which is written from it; name a folder beside it")
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        raise RffdError(f"{error.filename}: can't be read ({error.strerror}); mend its permissions")

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        if (here := os.path.realpath(parent)) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        for name in names:
            path = Path(parent, name)
            if not path.is_file() and not path.is_symlink():
                continue  # a pipe or socket would never end; a broken link is told when it is read
            found.append(SourceFile(PurePosixPath(path.relative_to(folder).as_posix()), partial(_open, path)))
    return found


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def bring(files: Iterable[SourceFile], raw: Path, origin: str, expect: ExpectParams | None = None) -> dict[str, int]:
    """Copy the images among `files` to `raw/real` and `raw/fake`; return how many each got.

    A file's label is the nearest folder above it that names one. The shallowest comes first, so that in
    Kaggle's layout, which nests a second copy of everything, the copy is seen to hold the same bytes and is
    left out. Other bytes under a name already taken are an error.
    """
    wanted = list(_labelled(files, origin))
    if not wanted:
        raise RffdError(f"{origin}: no images; put them in folders real/ and fake/ (or training_real/, training_fake/)")
    for label in LABELS:
        if all(found != label for found, _ in wanted):
            raise RffdError(f"{origin}: no {label} images; they belong in a folder {label}/ or training_{label}/")
    wanted.sort(key=lambda pair: (len(pair[1].path.parts), str(pair[1].path)))
    taken: dict[tuple[str, str], tuple[str, PurePosixPath]] = {}
    with _writing(raw) as target, progress("acquire", len(wanted)) as advance:
        for label in LABELS:
            (target / label).mkdir(parents=True)
        for label, file in wanted:
            name = file.path.name
            first = taken.get((label, name))
            digest = _copy(file, None if first else target / label / name, origin)
            if first and first[0] != digest:
                raise RffdError(
                    f"{origin}: two different files would both be {label}/{name} ({first[1]}, {file.path}); rename one"
                )
            taken.setdefault((label, name), (digest, file.path))
            advance(1)
        counts = Counter(label for label, _ in taken)
        _check(counts, expect, origin)
    return {label: counts[label] for label in LABELS}


def _labelled(files: Iterable[SourceFile], origin: str) -> Iterator[tuple[str, SourceFile]]:
    """The images with their labels; what is left out is told in a line each on stderr."""
    other, homeless = [], []
    for file in files:
        if any(part.startswith(".") or part == "__MACOSX" for part in file.path.parts):
            continue  # what operating systems and editors leave behind
        labels = [label for part in reversed(file.path.parts[:-1]) if (label := label_of_folder(part))]
        if file.path.suffix.lower() not in IMAGE_SUFFIXES:
            other.append(file.path)
        elif not labels:
            homeless.append(file.path)
        else:
            _encodable(file.path, origin)
            yield labels[0], file
    _note(other, "have no image suffix")
    _note(homeless, "lie in no folder real/ or fake/")


def _note(paths: Sequence[PurePosixPath], why: str) -> None:
    if paths:
        print(f"note: {len(paths)} files left out, they {why} (such as {min(paths)!s})", file=sys.stderr)


def _encodable(path: PurePosixPath, origin: str) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise RffdError(f"{origin}: the file name {str(path)!r} is not UTF-8; rename it") from None


def _copy(file: SourceFile, target: Path | None, origin: str) -> str:
    """Copy a file's bytes to `target` (None: only read them); return their SHA-256."""
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        with _reading(file, origin):
            source = stack.enter_context(file.open())
        sink = stack.enter_context(target.open("xb")) if target else None
        while True:
            with _reading(file, origin):
                chunk = source.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            if sink:
                sink.write(chunk)


@contextlib.contextmanager
def _reading(file: SourceFile, origin: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RffdError(
            f"{origin}: {file.path} can't be read ({error.strerror or error}); mend or remove it"
        ) from error


@contextlib.contextmanager
def _writing(raw: Path) -> Iterator[Path]:
    try:
        with replacing(raw) as target:
            yield target
    except OSError as error:
        raise RffdError(
            f"{raw}: can't be written ({error.strerror or error}); check its folder and the disk"
        ) from error


def _check(counts: Counter[str], expect: ExpectParams | None, origin: str) -> None:
    for label in LABELS:
        number = getattr(expect, label) if expect else None
        if number is not None and counts[label] != number:
            raise RffdError(
                f"{origin}: {counts[label]} {label} images where {number} are expected (data.expect.{label}); "
                "the download is incomplete, or, of another dataset, set data.expect.real=null data.expect.fake=null"
            )
