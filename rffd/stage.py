"""How a stage script starts: paths from the command line in `dvc.yaml`, errors as one clear line.

A stage's `main` names its inputs and outputs as keyword parameters; `run_stage` turns each into a
required `--option PATH`, so that every path is written once, in `dvc.yaml`.
"""

import argparse
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rffd.errors import RffdError


def run_stage(main: Callable[..., None], argv: list[str] | None = None) -> None:
    """Call `main` with the paths given on the command line; exit 1 with one line on a user's error."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    for name, parameter in inspect.signature(main).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=required, default=default)
    arguments = vars(parser.parse_args(argv))
    try:
        main(**arguments)
    except (RffdError, OSError) as error:
        if os.environ.get("RFFD_TRACEBACK"):
            raise
        sys.exit(f"error: {' '.join(_said(error).split())}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to go on")


def _said(error: Exception) -> str:
    """A file's trouble with what to do about it; other errors say so themselves."""
    if not isinstance(error, OSError) or not error.filename or not error.strerror:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename}: {error.strerror}; run `dvc repro`, which makes what a stage reads"
    return f"{error.filename}: {error.strerror}; check its folder, its permissions and the disk"
