"""The pipeline's stages, one thin script each, run as `python -m stages.<name>` by `dvc.yaml`."""

import sys
from importlib.util import find_spec

if find_spec("PIL") is None or find_spec("numpy") is None:
    sys.exit(
        f"error: {sys.executable} lacks RFFD's packages; run `make repro`, or put the project's own Python "
        "first on PATH: PATH=$PWD/.venv/bin:$PATH dvc repro"
    )
