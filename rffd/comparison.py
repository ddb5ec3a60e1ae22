"""Is one experiment really better than another? Two tests on the same test images, and the answer in words.

    python -m rffd.comparison A B

A and B are git revisions or names of DVC experiments (`dvc exp show`), `workspace` for the files as they
stand, or files like `data/evaluation/predictions.csv`. Differences are B minus A, at probability 0.5.

- McNemar's exact test counts the images that one got right and the other wrong; it takes images as independent.
- The paired bootstrap draws groups of shared photographs, the same for both, and gives each score's difference a
  95 % interval. Where the two disagree, believe the bootstrap.
"""

import argparse
import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rffd.errors import RffdError
from rffd.metrics import bootstrap, interval, scores

PREDICTIONS = Path("data/evaluation/predictions.csv")
WORKSPACE = "workspace"
COMPARED = {"accuracy": "accuracy", "f1": "F1", "recall": "recall", "auc": "AUC"}
RESAMPLES, SEED = 2000, 0
COLUMNS = ("path", "split", "label", "group", "probability")


@dataclass(frozen=True)
class Difference:
    """One score of A and of B, and B minus A with its 95 % interval; None where undefined."""

    name: str
    a: float
    b: float
    difference: float
    interval: list[float] | None

    @property
    def real(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Comparison:
    """Two experiments on `count` shared test images in `groups`; `left_out` of A's and B's weren't shared.

    `only_a` and `only_b` count the images that only that one got right; `p_value` is McNemar's.
    """

    count: int
    groups: int
    left_out: tuple[int, int]
    only_a: int
    only_b: int
    p_value: float
    differences: list[Difference]


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value of `only_a` against `only_b` discordant images (McNemar 1947, binomial form)."""
    n, k = only_a + only_b, min(only_a, only_b)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))


def compare(a: Sequence[Mapping[str, str]], b: Sequence[Mapping[str, str]]) -> Comparison:
    """Compare the rows of two prediction files on the test images that both have."""
    rows_a, rows_b = ({row["path"]: row for row in rows if row["split"] == "test"} for rows in (a, b))
    paths = sorted(rows_a.keys() & rows_b.keys())
    if not paths:
        raise RffdError("the two share no test image, so there is nothing to compare; evaluate both on one split")
    for path in paths:
        if rows_a[path]["label"] != rows_b[path]["label"]:
            raise RffdError(f"{path}: {rows_a[path]['label']} in one, {rows_b[path]['label']} in the other")
    labels = np.array([rows_a[path]["label"] == "fake" for path in paths])
    groups = _joint_groups([rows_a[path]["group"] for path in paths], [rows_b[path]["group"] for path in paths])
    pa, pb = (np.array([float(rows[path]["probability"]) for path in paths]) for rows in (rows_a, rows_b))
    right_a, right_b = (pa >= 0.5) == labels, (pb >= 0.5) == labels
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    first, second = scores(labels, pa), scores(labels, pb)

    def differences(weights: np.ndarray) -> dict[str, np.ndarray]:
        one, two = scores(labels, pa, weights=weights), scores(labels, pb, weights=weights)
        return {name: two[name] - one[name] for name in COMPARED}

    drawn = bootstrap(differences, groups, resamples=RESAMPLES, seed=SEED)
    return Comparison(
        count=len(paths),
        groups=len(set(groups)),
        left_out=(len(rows_a) - len(paths), len(rows_b) - len(paths)),
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(only_a, only_b),
        differences=[
            Difference(name, float(first[name][0]), float(second[name][0]), change, interval(drawn[name]))
            for name in COMPARED
            if math.isfinite(change := float(second[name][0] - first[name][0]))
        ],
    )


def _joint_groups(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """Groups that hold together whatever either experiment's pairing holds together."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent.setdefault(parent[name], parent[name])  # halves the way for the next
            name = parent[name]
        return name

    for one, two in zip(a, b, strict=True):
        roots = sorted((find(f"a {one}"), find(f"b {two}")))
        parent[roots[1]] = roots[0]
    return [find(f"a {one}") for one in a]


def in_words(found: Comparison, a: str, b: str) -> str:
    """The comparison as a table and a verdict for people."""
    lines = [f"{found.count:,} test images in {found.groups:,} groups of shared photographs; A = {a}, B = {b}", ""]
    if any(found.left_out):
        lines.insert(1, f"left out, in one test set only: {found.left_out[0]:,} of A's, {found.left_out[1]:,} of B's")
    lines.append(f"{'':10}{'A':>8}{'B':>8}{'B - A':>9}   95 % interval")
    for row in found.differences:
        spread = f"{row.interval[0]:+.3f} to {row.interval[1]:+.3f}" if row.interval else "undefined"
        lines.append(f"{COMPARED[row.name]:10}{row.a:8.3f}{row.b:8.3f}{row.difference:+9.3f}   {spread}")
    lines.append("")
    lines.append(
        f"right in one only: {found.only_a} images A, {found.only_b} images B; McNemar's p = {found.p_value:.3g}"
    )
    lines.extend(_verdict(row) for row in found.differences if row.name in ("accuracy", "auc"))
    accuracy = next((row for row in found.differences if row.name == "accuracy"), None)
    if accuracy and accuracy.real != (found.p_value < 0.05):
        lines.append(
            "McNemar's test says otherwise of accuracy: the difference is at the edge of what this set can tell."
        )
    return "\n".join(lines)


def _verdict(row: Difference) -> str:
    name = COMPARED[row.name]
    name = name[0].upper() + name[1:]
    if row.interval is None:
        return f"{name}: too few images to tell."
    if row.real:
        better = "B is better" if row.difference > 0 else "A is better"
        return f"{name}: {better}, by {abs(row.difference):.3f}; the difference is real (its interval leaves zero out)."
    down, up = max(0.0, -row.interval[0]), max(0.0, row.interval[1])
    return f"{name}: no difference that these images can show; B may be up to {up:.3f} better or {down:.3f} worse."


def load(which: str) -> list[dict[str, str]]:
    """Read predictions from a file, the workspace, or a revision or experiment of the repository here."""
    path = PREDICTIONS if which == WORKSPACE else Path(which)
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif which == WORKSPACE:
        raise RffdError(f"{path}: not found; run `dvc repro evaluate`, or `dvc checkout` if it was run before")
    else:
        text = _from_revision(which)
    rows = list(csv.DictReader(io.StringIO(text)))
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise RffdError(f"{which}: no predictions (column '{missing[0]}' is missing); give evaluate's predictions.csv")
    try:
        [float(row["probability"]) for row in rows]
    except ValueError as error:
        raise RffdError(f"{which}: a probability isn't a number ({error}); evaluate again") from error
    return rows


def _from_revision(revision: str) -> str:
    import dvc.api  # here, because importing it takes a second
    from dvc.exceptions import DvcException

    try:
        return dvc.api.read(str(PREDICTIONS), rev=revision, encoding="utf-8")
    except (DvcException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RffdError(
            f"{revision}: neither a file nor a revision with {PREDICTIONS} here ({reason}); "
            "`dvc exp show` lists experiments, `dvc fetch` or `dvc exp pull` brings their files"
        ) from error


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two experiments and print what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m rffd.comparison", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", help="revision, experiment, `workspace` or a predictions.csv")
    parser.add_argument("b", help="likewise")
    arguments = parser.parse_args(argv)
    try:
        print(in_words(compare(load(arguments.a), load(arguments.b)), arguments.a, arguments.b))
    except (RffdError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
