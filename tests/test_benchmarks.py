"""The benchmarks' runner: all of them plug in, verdicts follow targets, RESULTS.md keeps what wasn't run."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import cells, merged, names, section
from benchmarks.measure import Row, in_turns, ratio

ROOT = Path(__file__).resolve().parents[1]


def test_every_benchmark_plugs_in() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[0] for line in listed.splitlines()] == names()
    assert {"engine", "pairing", "predict", "preprocess", "scale", "search", "start"} <= set(names())
    refused = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nosuch"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "no benchmark named nosuch" in refused.stderr


@pytest.mark.parametrize(
    ("row", "target", "verdict"),
    [
        (Row(what="a", measured="1", ratio=0.97, at_least=0.97), "at least 0.97", "yes"),
        (Row(what="a", measured="1", ratio=0.969, at_least=0.97), "at least 0.97", "**no**"),
        (Row(what="a", measured="1", ratio=1.11, at_most=1.1), "at most 1.1", "**no**"),
        (Row(what="a", measured="1", ratio=2.0), "", ""),
        (Row(what="a", measured="no GPU here", at_least=4), "at least 4", "not measured"),
    ],
)
def test_a_verdict_follows_its_target(row: Row, target: str, verdict: str) -> None:
    assert cells(row)[-2:] == (target, verdict)


def test_results_keep_what_was_not_run_again() -> None:
    rows = [Row(what="one", measured="2 s", against="1 s", ratio=2.0)]
    first = merged("", {name: section(name, rows, "some day") for name in ("engine", "scale")})
    second = merged(first, {"engine": section("engine", rows, "another day")})
    assert second.count("some day") == 1 and second.count("another day") == 1
    assert second.index("## engine") < second.index("## scale")
    assert "| one | 2 s | 1 s | 2 |  |  |" in second
    assert merged(second, {}) == second


def test_sides_take_turns_and_the_ratio_is_of_each_turn() -> None:
    order: list[str] = []
    sides = {name: (lambda name=name: order.append(name) or float(len(order))) for name in ("a", "b")}
    assert in_turns(sides, 2) == {"a": [1.0, 4.0], "b": [2.0, 3.0]} and order == ["a", "b", "b", "a"]
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == 3.0, "not the ratio of the medians, 4"
