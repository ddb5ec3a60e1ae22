"""What README shows is what the repository's code produces."""

import re

from tests.pipeline_code import ROOT
from tests.readme import MARKED, table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_the_committed_ones():
    assert MARKED.search(README)[0] == f"<!-- headline:begin -->\n{table()}<!-- headline:end -->", (
        "python -m tests.readme"
    )


def test_every_file_it_names_exists():
    named = set(re.findall(r"`((?:rffd|profiles|docs|stages)/[\w./-]+\.\w+)`", README))
    named |= set(re.findall(r"\]\(((?:docs|rffd)/[^)#]+)\)", README))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
