"""``--report``: written whole, also on failure, and never where there is no place for a file."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.ci.test_release import SCHEMA
from tests.conftest import free_port
from tests.service import Result, run


def _run(tmp_path: Path, *arguments: str, feed: str = "") -> Result:
    return run(list(arguments), {"TRUSTKIT_HOME": str(tmp_path / "home")}, feed=feed)


def test_each_reference_has_its_line_with_what_was_said_of_it(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("an older command's success")
    down = f"127.0.0.1:{free_port()}/app:v1"
    pin = _run(tmp_path, "pin", "add", down.removesuffix(":v1"), "--root-key", "ab" * 32)
    assert pin.status == 0, pin.err
    done = _run(tmp_path, "verify", down, "no\nname", "h.example/app:v1", "--report", str(file))
    told = json.loads(file.read_text())
    jsonschema.validate(told, SCHEMA)
    assert [(line["status"], line["slug"]) for line in told["references"]] == [
        (4, "unreachable"),
        (2, "invalid-reference"),
        (3, "no-pin"),
    ]
    assert done.status == told["status"] == 4
    assert all(line["message"] in done.err for line in told["references"])
    assert [*tmp_path.glob(".report*")] == []


def test_a_command_that_fails_before_its_references_says_why(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    policy = tmp_path / "policy.toml"
    policy.write_text("nonsense =")
    done = _run(tmp_path, "verify", "h.example/a:v1", "--policy", str(policy), "--report", str(file))
    told = json.loads(file.read_text())
    jsonschema.validate(told, SCHEMA)
    assert done.status == told["status"] == told["errors"][0]["status"]
    assert told["references"][0]["outcome"] == "not-tried"


@pytest.mark.parametrize("place", ["-", ".", "/dev/stdout", "/dev/null", "no/such/folder/report.json"])
def test_a_place_that_takes_no_file_is_refused_before_anything_is_done(tmp_path: Path, place: str) -> None:
    done = _run(tmp_path, "verify", "h.example/a:v1", "--report", place)
    assert (done.status, done.slug) in [(2, "usage"), (1, "state")], done.err
    assert "no-pin" not in done.err
    assert Path("/dev/null").is_char_device()


def test_a_key_and_its_passphrase_do_not_both_come_from_stdin(tmp_path: Path) -> None:
    assert _run(tmp_path, "key", "import", "-", "--passphrase-fd", "0", feed="x").slug == "usage"
    assert _run(tmp_path, "key", "import", "-", feed="x").status in (2, 6)
