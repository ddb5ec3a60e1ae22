"""How tests run: one thread each, so that toy models don't queue for cores, and nothing from the network."""

import os
import shutil
from pathlib import Path

import pytest

from tests.documented import documented
from tests.workspace import commit, make_workspace, run

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RFFD_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["DVC_NO_ANALYTICS"] = "1"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Where the system packages are promised (RFFD_REQUIRE_SYSTEM, set in CI), skipping for want of one fails."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.get_closest_marker("system") and os.environ.get("RFFD_REQUIRE_SYSTEM"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although its system package is promised: {report.longrepr}"


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A workspace in which `dvc repro` has run once and its results are committed; not to be changed."""
    folder = make_workspace(tmp_path_factory.mktemp("pipeline") / "rffd")
    run(folder, "dvc", "repro")
    commit(folder, "results")
    return folder


@pytest.fixture(scope="session")
def tried(finished, tmp_path_factory) -> Path:
    """A copy of it in which README's first experiment was run, its output beside it; not to be changed either."""
    folder = tmp_path_factory.mktemp("tried") / "rffd"
    shutil.copytree(finished, folder, symlinks=True)
    output = run(folder, *documented("dvc exp run -S train.learning_rate=3e-5")).stdout
    (folder.parent / "output.txt").write_text(output)
    return folder


@pytest.fixture
def workspace(finished, tmp_path) -> Path:
    """A copy of the finished workspace, to be changed at will."""
    folder = tmp_path / "rffd"
    shutil.copytree(finished, folder, symlinks=True)
    return folder
