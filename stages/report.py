"""One self-contained page with everything found: what one sends to a manager or a reviewer.

dvc repro report      (its words: rffd/report*.py; its look: rffd/templates/report.html)
"""

from pathlib import Path

from rffd.files import write_text
from rffd.params import read_value
from rffd.report import render
from rffd.report_findings import read_findings
from rffd.stage import run_stage


def main(*, metrics: Path, plots: Path, evaluation: Path, explanation: Path, report: Path) -> None:
    """Read what the other stages wrote, write the page."""
    found = read_findings(metrics, plots, evaluation, explanation, read_value("data.source", str))
    write_text(report, render(found))


if __name__ == "__main__":
    run_stage(main)
