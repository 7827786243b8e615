"""The rules and the threats that code and tests refer to are the documented ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
RULES = (TOP / "docs/explanation/trust.md").read_text(encoding="utf-8")
THREATS = (TOP / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
NUMBERED = set(re.findall(r"^\*\*(\d\.\d+)\*\*", RULES, re.MULTILINE)) | set(
    re.findall(r"^## (\d)\. ", RULES, re.MULTILINE)
)


def _cited(folder: str) -> set[str]:
    sources = (TOP / folder).rglob("*.py")
    cites = (re.findall(r"TRUST (\d(?:\.\d+)?(?:, \d\.\d+)*)", s.read_text(encoding="utf-8")) for s in sources)
    return {number for found in cites for group in found for number in group.split(", ")}


@pytest.mark.parametrize("folder", ["trustkit", "tests"])
def test_every_rule_that_is_cited_is_documented(folder: str):
    assert _cited(folder) - NUMBERED == set()


def test_the_rules_are_numbered_without_gaps():
    counts = {str(section): sum(n.startswith(f"{section}.") for n in NUMBERED) for section in range(1, 9)}
    assert counts == {"1": 4, "2": 3, "3": 10, "4": 4, "5": 5, "6": 4, "7": 6, "8": 5}


def test_every_rule_that_a_threat_names_exists():
    named = re.findall(r"^\| [^|]+ \| ([\d., ]+) \| `", THREATS, re.MULTILINE)
    assert {number for cell in named for number in cell.split(", ")} - NUMBERED == set()


def test_each_threat_names_a_test_file_that_exists_and_none_is_left_out():
    """Only that the files are there; what they hold is their own business."""
    named = re.findall(r"\| `(test_\w+\.py)` \|$", THREATS, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == {file.name for file in (TOP / "tests/attacks").glob("test_*.py")}
