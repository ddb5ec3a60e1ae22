"""Measure speed, as ratios, and write `benchmarks/RESULTS.md`.

    python -m benchmarks                 # all of them (make bench)
    python -m benchmarks engine search   # some; the others' results in RESULTS.md stay
    python -m benchmarks --list
    python -m benchmarks --quick         # small sizes, to see that they run; writes nothing

Let the machine be quiet: figures are medians of repeats in turns, but a neighbour still costs both sides.
Each benchmark is a module of this folder with a function `rows(quick)`; run one alone for more options.
"""

import argparse
import ast
import datetime
import importlib
import os
import pkgutil
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.measure import Row

RESULTS = Path(__file__).parent / "RESULTS.md"
COLUMNS = ("what", "measured", "against", "ratio", "target", "holds")
HEAD = """# Measured

What `make bench` found; each part says when, at which commit and on what. A ratio is the median of the turns' own
ratios, both sides run in turns in the same minutes. "Not measured" means that the hardware for it wasn't there.
"""


def names() -> list[str]:
    """The benchmarks there are: the modules of this folder with a function `rows`."""
    found = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    texts = {name: (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8") for name in found}
    return sorted(name for name, text in texts.items() if "\ndef rows(" in text)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table in words."""
    verdict = {True: "yes", False: "**no**", None: "not measured" if row.target else ""}[row.holds]
    number = "" if row.ratio is None else f"{row.ratio:.3g}"
    return row.what, row.measured, row.against, number, row.target, verdict


def section(name: str, rows: list[Row], where: str) -> str:
    """A benchmark's part of RESULTS.md."""
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS), *(" | ".join(cells(row)) for row in rows)]
    return f"## {name}\n\n{where}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"


def merged(old: str, new: dict[str, str]) -> str:
    """RESULTS.md with the sections of `new` in place of the old ones, by name."""
    kept = {part.split("\n", 1)[0]: f"## {part.strip()}\n" for part in re.split(r"^## ", old, flags=re.MULTILINE)[1:]}
    return "\n".join([HEAD, *(text for _, text in sorted((kept | new).items()))])


def machine() -> str:
    """The machine in general words."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    bf16 = any(getattr(torch.cpu, f"_is_{n}_supported", bool)() for n in ("amx_tile", "avx512_bf16"))
    return (
        f"{platform.system()} on {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        f"{' with native bf16' if bf16 else ''}, {memory:.0f} GiB, {gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__.split('+')[0]}"
    )


def commit() -> str:
    """The commit measured, marked if files differ from it."""
    run = {"capture_output": True, "text": True, "check": False, "cwd": RESULTS.parent}
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
    changed = subprocess.run(["git", "status", "--porcelain", "-uno", "../rffd"], **run).stdout  # type: ignore[call-overload]
    return f"commit {head or 'unknown'}{', edited' if changed.strip() else ''}"


def show(name: str, rows: list[Row]) -> None:
    """Print the rows as a table."""
    table = Table(*COLUMNS, title=name, box=rich.box.SIMPLE, title_justify="left")
    for row in rows:
        table.add_row(*(cell.replace("**", "") for cell in cells(row)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def main() -> int:
    """Run what was asked for; 1 if a target was missed or a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    options = parser.parse_args()
    known = names()
    if options.list:
        for name in known:
            text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
            print(f"{name:12} {(ast.get_docstring(ast.parse(text)) or '').splitlines()[0]}")
        return 0
    if unknown := set(options.names) - set(known):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    missed = False
    for name in options.names or known:
        started = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows = list(importlib.import_module(f"benchmarks.{name}").rows(quick=options.quick))
        except Exception as error:  # the others still run
            print(f"error: {name}: {type(error).__name__}: {error}", file=sys.stderr)
            missed = True
            continue
        show(name, rows)
        missed |= any(row.holds is False for row in rows)
        if not options.quick:
            today = datetime.datetime.now(datetime.UTC).date()
            where = f"{today}, {commit()}, in {time.monotonic() - started:.0f} s; {machine()}."
            old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
            RESULTS.write_text(merged(old, {name: section(name, rows, where)}), encoding="utf-8")
    return int(missed and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
