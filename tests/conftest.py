"""How tests run: one thread each, so that toy models don't queue for cores, and nothing from the network."""

import os

import pytest

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
