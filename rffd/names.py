"""What a file's folder and name say: label, difficulty, id and the four region bits.

The dataset's creators name a fake `mid_101_0110.jpg`: difficulty, id, and whether left eye, right eye,
nose and mouth (as seen in the picture) were replaced. A real is `real_00042.jpg`.
Source: https://www.kaggle.com/datasets/ciplab/real-and-fake-face-detection
"""

import re
from dataclasses import dataclass
from pathlib import PurePath

LABELS = ("real", "fake")
REGIONS = ("left_eye", "right_eye", "nose", "mouth")
DIFFICULTIES = ("easy", "mid", "hard")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

_FAKE = re.compile(r"(easy|mid|hard)_(\d+)_([01]{3,4})")
_REAL = re.compile(r"real_(\d+)")
_FOLDERS = {"real": "real", "training_real": "real", "fake": "fake", "training_fake": "fake"}


@dataclass(frozen=True)
class Name:
    """What a name tells; what it doesn't is None. `bits` follow `REGIONS`, 1 = replaced."""

    difficulty: str | None = None
    id: int | None = None
    bits: tuple[int, int, int, int] | None = None
    note: str = ""


def label_of_folder(name: str) -> str | None:
    """`real` or `fake` for a folder named so (`training_real` and `training_fake` too), else None."""
    return _FOLDERS.get(name.lower())


def parse_name(path: PurePath | str, label: str) -> Name:
    """Read the name of an image of `label`; names outside the dataset's grammar give an empty `Name`.

    Three bits (`easy_116_111.jpg`, so in the original upload) are read as 1111, as everybody does.
    """
    stem = PurePath(path).stem
    if label == "real":
        match = _REAL.fullmatch(stem)
        return Name(id=int(match[1]), bits=(0, 0, 0, 0)) if match else Name(bits=(0, 0, 0, 0))
    match = _FAKE.fullmatch(stem)
    if not match:
        return Name()
    bits, note = match[3], ""
    if len(bits) == 3:
        if bits != "111":
            return Name(match[1], int(match[2]), None, f"three bits ({bits}), ambiguous: left empty")
        bits, note = "1111", "three bits (111) in the name, read as 1111"
    return Name(match[1], int(match[2]), tuple(int(bit) for bit in bits), note)  # type: ignore[arg-type]  # four, as matched
