"""Two experiments compared: the tests by hand, the words, and predictions read out of a repository's history."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from rffd import comparison
from rffd.errors import RffdError
from rffd.files import write_csv

COLUMNS = ["path", "split", "label", "group", "probability"]


def predictions(right: np.ndarray, *, groups: int | None = None, split: str = "test") -> list[dict[str, str]]:
    """One row an image, every second one fake, right or wrong as told."""
    rows = []
    for i, is_right in enumerate(right):
        fake = i % 2
        p = (0.6 + 0.3 * ((i * 7) % 10) / 10) if bool(fake) == bool(is_right) else 0.4 - 0.3 * ((i * 7) % 10) / 10
        group = f"g{i % groups if groups else i}"
        label = "fake" if fake else "real"
        rows.append({"path": f"{label}/{i:03}", "split": split, "label": label, "group": group, "probability": str(p)})
    return rows


def half_right(count: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 21), (700, 600)])
def test_mcnemar_is_the_binomial_test(a: int, b: int) -> None:
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert comparison.mcnemar(a, b) == pytest.approx(expected)


def test_a_clear_difference_is_called_real() -> None:
    found = comparison.compare(predictions(half_right(300, 0.6, 0)), predictions(half_right(300, 0.9, 1)))
    accuracy = {row.name: row for row in found.differences}["accuracy"]
    assert accuracy.real and accuracy.difference > 0.2 and found.p_value < 1e-6
    assert accuracy.interval[0] < accuracy.difference < accuracy.interval[1]
    words = comparison.in_words(found, "first", "second")
    assert "B is better" in words and "the difference is real" in words and "A = first" in words
    back = comparison.compare(predictions(half_right(300, 0.9, 1)), predictions(half_right(300, 0.6, 0)))
    assert "A is better" in comparison.in_words(back, "first", "second")


def test_no_difference_is_called_none() -> None:
    right = half_right(200, 0.8, 0)
    same = comparison.compare(predictions(right), predictions(right))
    assert same.p_value == 1 and not any(row.real for row in same.differences)
    other = comparison.compare(predictions(right), predictions(half_right(200, 0.8, 5)))
    assert "no difference that these images can show" in comparison.in_words(other, "a", "b")


def test_chance_is_called_real_one_time_in_twenty() -> None:
    hits = 0
    for seed in range(60):
        a, b = (predictions(half_right(120, 0.75, 1000 * k + seed)) for k in (1, 2))
        found = comparison.compare(a, b)
        hits += next(row for row in found.differences if row.name == "accuracy").real
    assert hits <= 9  # 5 % of 60 is 3; ten or more would come up less than once in a thousand runs


def test_groups_of_both_are_kept_together() -> None:
    assert len(set(comparison._joint_groups(["1", "1", "2", "3"], ["x", "y", "y", "z"]))) == 2
    wide = comparison.compare(predictions(half_right(200, 0.6, 0), groups=20), predictions(half_right(200, 0.8, 1)))
    assert wide.groups == 20


def test_only_shared_test_images_count() -> None:
    a, b = predictions(half_right(40, 0.7, 0)), predictions(half_right(40, 0.7, 1))
    b = [row | {"split": "val"} if i < 10 else row for i, row in enumerate(b)]
    found = comparison.compare(a, b)
    assert (found.count, found.left_out) == (30, (10, 0))
    assert "left out, in one test set only: 10 of A's" in comparison.in_words(found, "a", "b")
    with pytest.raises(RffdError, match="share no test image"):
        comparison.compare(a, predictions(half_right(40, 0.7, 0), split="val"))
    with pytest.raises(RffdError, match="real in one, fake in the other"):
        comparison.compare(a, [row | {"label": "fake"} for row in a])


def test_one_class_compares_what_it_can() -> None:
    a, b = predictions(half_right(40, 0.5, 0))[1::2], predictions(half_right(40, 0.9, 1))[1::2]
    names = [row.name for row in comparison.compare(a, b).differences]
    assert "accuracy" in names and "auc" not in names


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    write_csv(tmp_path / "other.csv", [{"path": "x"}], ["path"])
    with pytest.raises(RffdError, match="column 'split' is missing"):
        comparison.load(str(tmp_path / "other.csv"))
    rows = [row | {"probability": "high"} for row in predictions(np.ones(2))]
    write_csv(tmp_path / "words.csv", rows, COLUMNS)
    with pytest.raises(RffdError, match="isn't a number"):
        comparison.load(str(tmp_path / "words.csv"))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_revisions_and_experiments_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(tmp_path / "0.6.csv", predictions(half_right(200, 0.6, 0)), COLUMNS)
    write_csv(tmp_path / "0.9.csv", predictions(half_right(200, 0.9, 1)), COLUMNS)
    (tmp_path / "choose.py").write_text(
        "import pathlib, re, shutil\n"
        "share = re.search(r'share: (.*)', open('params.yaml').read())[1]\n"
        "pathlib.Path('data/evaluation').mkdir(parents=True)\n"
        "shutil.copy(f'{share}.csv', 'data/evaluation/predictions.csv')\n"
    )
    (tmp_path / "params.yaml").write_text("share: 0.6\n")
    (tmp_path / "dvc.yaml").write_text(
        f"stages: {{evaluate: {{cmd: '{sys.executable} choose.py', params: [share], outs: [data/evaluation]}}}}\n"
    )
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.name", "test"],
        ["git", "config", "user.email", "test@example.invalid"],
        [*dvc, "init", "-q"],
        [*dvc, "config", "core.analytics", "false"],
        [*dvc, "repro", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "first"],
        [*dvc, "exp", "run", "-q", "-n", "better", "-S", "share=0.9"],
        ["git", "checkout", "-q", "."],
    ):
        done = run(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYTHONPATH", str(Path(comparison.__file__).parents[1]))
    for b in ("better", "workspace", "0.9.csv"):  # the experiment's files still stand in the workspace
        done = run(tmp_path, sys.executable, "-m", "rffd.comparison", "HEAD", b)
        assert "B is better" in done.stdout and f"B = {b}" in done.stdout, done.stderr
    done = run(tmp_path, sys.executable, "-m", "rffd.comparison", "HEAD", "worse")
    assert (
        done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "neither a file nor a revision" in done.stderr
    )
