"""Where optional real data lies on a developer's machine; tests that need it skip where it is absent."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("RFFD_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def ciplab() -> Path:
    """The folder with real photographs of the dataset, or skip."""
    return _present(SHARED / "ciplab", "real photographs")


def vit_tiny() -> Path:
    """A pre-trained ViT-Ti/16 in Hugging Face format, or skip."""
    return _present(SHARED / "backbones" / "vit-tiny", "a pre-trained ViT-Ti/16")


def _present(folder: Path, what: str) -> Path:
    if not folder.is_dir():
        pytest.skip(f"needs {what} in {folder.name}/ (set RFFD_SHARED to the folder that holds it)")
    return folder
