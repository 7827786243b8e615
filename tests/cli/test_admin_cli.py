"""``trustkit admin``: what each command prints where, what it changes, and how it refuses."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from datetime import datetime
from pathlib import Path

import argon2
import pytest

from tests.cli.conftest import Admin
from trustkit.cli.app import main

PASSWORD = "correct horse battery"


def state(admin: Admin) -> object:
    """Everything that a command could change, the audit log included."""
    lists = (("principal", "list"), ("role", "list"), ("audit", "list"))
    return [json.loads(admin(*words, "--format", "json").out) for words in lists]


def add(admin: Admin, name: str = "alice") -> None:
    assert admin("principal", "add", name, "--password-stdin", feed=PASSWORD.encode()).status == 0


# Principals


def test_a_generated_password_is_printed_once_and_only_to_stdout(admin: Admin) -> None:
    made = admin("principal", "add", "alice")
    assert made.status == 0
    password = made.out.rstrip("\n")
    assert made.out == f"{password}\n"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", password)
    assert password not in made.err
    assert "shown this once" in made.err
    for words in (("principal", "list"), ("role", "list"), ("audit", "list")):
        for layout in ("table", "json"):
            shown = admin(*words, "--format", layout)
            assert password not in shown.out + shown.err
            assert "argon2" not in shown.out + shown.err


@pytest.mark.parametrize("command", ["add", "passwd"])
def test_a_given_password_is_printed_nowhere(admin: Admin, command: str) -> None:
    if command == "passwd":
        add(admin)
    done = admin("principal", command, "alice", "--password-stdin", feed=PASSWORD.encode() + b"\n")
    assert (done.status, done.out) == (0, "")
    assert PASSWORD not in done.err


def test_passwd_prints_another_generated_password(admin: Admin) -> None:
    first = admin("principal", "add", "alice").out
    second = admin("principal", "passwd", "alice")
    assert second.status == 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", second.out)
    assert second.out != first


@pytest.mark.parametrize(
    ("feed", "password"),
    [
        (b"12345678", "12345678"),
        (b"12345678\n", "12345678"),
        (b"12345678\r\n", "12345678"),
        (b"12345678\n\n", "12345678\n"),
        (b" 12345678 \n", " 12345678 "),
        (b"\n12345678\n", "\n12345678"),
        ("p\u00e4ssw\u00f6rter\n".encode(), "p\u00e4ssw\u00f6rter"),
    ],
)
def test_one_trailing_newline_is_dropped_and_nothing_else(
    admin: Admin, tmp_path: Path, feed: bytes, password: str
) -> None:
    assert admin("principal", "add", "alice", "--password-stdin", feed=feed).status == 0
    connection = sqlite3.connect(tmp_path / "service" / "trustkit.db")
    (stored,) = connection.execute("SELECT password_hash FROM principals").fetchone()
    connection.close()
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$"), "RFC 9106, the second recommended option"
    assert argon2.PasswordHasher().verify(stored, password)


@pytest.mark.parametrize(
    "feed",
    [b"", b"\n", b"seven77\n", b"seven77", b"x" * 1025, b"x" * 5000, b"\xff\xfe12345678"],
    ids=["empty", "a newline", "7 characters", "without newline", "1,025 bytes", "5,000 bytes", "no UTF-8"],
)
@pytest.mark.parametrize("command", ["add", "passwd"])
def test_a_weak_or_unreadable_password_changes_nothing(admin: Admin, command: str, feed: bytes) -> None:
    if command == "passwd":
        add(admin)
    before = state(admin)
    refused = admin("principal", command, "alice", "--password-stdin", feed=feed)
    assert (refused.status, refused.slug, refused.out) == (2, "invalid-setting", "")
    assert state(admin) == before


BAD_NAMES = ["", "Alice", "a b", "-x", "a/b", "a" * 129, "\u00e4", "a\n", "a:b"]


@pytest.mark.parametrize("command", ["add", "disable", "remove", "passwd"])
def test_a_name_outside_the_grammar_is_usage(admin: Admin, command: str) -> None:
    for name in BAD_NAMES:
        refused = admin("principal", command, "--", name)
        assert (refused.status, refused.slug, refused.out) == (2, "invalid-name", ""), name


def test_a_name_twice_is_a_conflict_and_keeps_the_first(admin: Admin) -> None:
    add(admin)
    before = state(admin)
    refused = admin("principal", "add", "alice")
    assert (refused.status, refused.slug, refused.out) == (1, "conflict", "")
    assert state(admin) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("principal", "disable", "nobody"),
        ("principal", "remove", "nobody"),
        ("principal", "passwd", "nobody"),
        ("role", "assign", "nobody", "AcrPull"),
        ("role", "revoke", "nobody", "AcrPull"),
        ("role", "revoke", "alice", "AcrPull"),
        ("role", "revoke", "alice", "AcrPush", "--repository", "team/app"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_not_found(admin: Admin, arguments: tuple[str, ...]) -> None:
    add(admin)
    assert admin("role", "assign", "alice", "AcrPush", "--repository", "team/*").status == 0
    before = state(admin)
    refused = admin(*arguments)
    assert (refused.status, refused.slug, refused.out) == (1, "not-found", "")
    assert state(admin) == before


def test_the_list_of_principals_in_both_forms(admin: Admin) -> None:
    assert json.loads(admin("principal", "list", "--format", "json").out) == []
    assert admin("principal", "list").out == "NAME  DISABLED  CREATED\n"
    for name in ("bob", "alice"):
        add(admin, name)
    assert admin("principal", "disable", "bob").status == 0
    rows = json.loads(admin("principal", "list", "--format", "json").out)
    assert [(row["name"], row["disabled"]) for row in rows] == [("alice", False), ("bob", True)]
    assert all(set(row) == {"name", "disabled", "created"} for row in rows)
    assert all(datetime.fromisoformat(row["created"]).tzinfo is not None for row in rows)
    table = admin("principal", "list").out.splitlines()
    assert [line.split()[:2] for line in table] == [["NAME", "DISABLED"], ["alice", "no"], ["bob", "yes"]]
    assert admin("principal", "remove", "bob").status == 0
    assert [row["name"] for row in json.loads(admin("principal", "list", "--format", "json").out)] == ["alice"]


# Roles


@pytest.mark.parametrize(
    "role", ["AcrPull", "AcrPush", "AcrDelete", "AcrImageSigner", "Reader", "Contributor", "Owner"]
)
def test_each_role_is_assigned_listed_and_revoked(admin: Admin, role: str) -> None:
    add(admin)
    assigned = admin("role", "assign", "alice", role.lower(), "--repository", "team/*")
    assert (assigned.status, assigned.out) == (0, "")
    assert f"{role} on team/*" in assigned.err
    listed = admin("role", "list", "--format", "json")
    assert json.loads(listed.out) == [{"name": "alice", "role": role, "repository": "team/*"}]
    assert [line.split() for line in admin("role", "list").out.splitlines()] == [
        ["NAME", "ROLE", "REPOSITORY"],
        ["alice", role, "team/*"],
    ]
    assert admin("role", "revoke", "alice", role, "--repository", "team/*").status == 0
    assert json.loads(admin("role", "list", "--format", "json").out) == []


def test_without_a_pattern_a_role_is_on_everything(admin: Admin) -> None:
    add(admin)
    assert admin("role", "assign", "alice", "Reader").status == 0
    assert json.loads(admin("role", "list", "--format", "json").out)[0]["repository"] == "*"


@pytest.mark.parametrize("role", ["", "acr", "AcrSign", "AcrPull ", "*", "owner,reader"])
@pytest.mark.parametrize("command", ["assign", "revoke"])
def test_an_unknown_role_is_refused_with_the_list_of_roles(admin: Admin, command: str, role: str) -> None:
    add(admin)
    before = state(admin)
    refused = admin("role", command, "alice", role)
    assert (refused.status, refused.slug) == (2, "invalid-name")
    assert "AcrPull, AcrPush, AcrDelete, AcrImageSigner, Reader, Contributor, Owner" in refused.err
    assert state(admin) == before


BAD_PATTERNS = ["", "**", "*/app", "team/*/app", "Team/*", "team*", "/team", "team/", "team//app", "host:5000/app"]


@pytest.mark.parametrize(
    "command", [("role", "assign", "alice", "AcrPull"), ("role", "revoke", "alice", "AcrPull"), ("repository", "set")]
)
def test_a_pattern_outside_the_grammar_is_usage(admin: Admin, command: tuple[str, ...]) -> None:
    add(admin)
    before = state(admin)
    for pattern in BAD_PATTERNS:
        where = [pattern, "--trust-only"] if command[0] == "repository" else ["--repository", pattern]
        refused = admin(*command, *where)
        assert (refused.status, refused.slug) == (2, "invalid-name"), pattern
    assert state(admin) == before


# Policies


def test_content_trust_stays_on_while_trust_only_applies(admin: Admin) -> None:
    for pattern in ("team/*", "app"):
        done = admin("repository", "set", pattern, "--trust-only")
        assert (done.status, done.out) == (0, "")
    refused = admin("policy", "set", "content-trust", "disabled")
    assert (refused.status, refused.slug, refused.out) == (1, "conflict", "")
    assert "app, team/*" in refused.err
    assert "--force" in refused.err
    forced = admin("policy", "set", "content-trust", "disabled", "--force")
    assert (forced.status, forced.err) == (0, "content-trust is disabled.\n")
    assert admin("policy", "set", "content-trust", "enabled").status == 0
    for pattern in ("team/*", "app"):
        assert admin("repository", "set", pattern, "--no-trust-only").status == 0
    assert admin("policy", "set", "content-trust", "disabled").status == 0
    values = [
        (row["detail"]["value"], row["detail"]["forced"])
        for row in json.loads(admin("audit", "list", "--format", "json").out)
        if row["action"] == "policy-set"
    ]
    assert values == [("disabled", False), ("enabled", False), ("disabled", True)], "the refused one left no row"


# The audit log


def test_the_audit_log_is_listed_newest_first_and_says_who(admin: Admin) -> None:
    add(admin)
    assert admin("role", "assign", "alice", "Owner").status == 0
    rows = json.loads(admin("audit", "list", "--format", "json").out)
    assert [row["action"] for row in rows] == ["role-assigned", "principal-added"]
    assert all(set(row) == {"at", "actor", "source", "action", "subject", "detail"} for row in rows)
    assert all(row["actor"].startswith("operator:") and row["source"] == "local" for row in rows)
    assert rows[0]["detail"] == {"repository": "*", "role": "Owner"}
    table = admin("audit", "list", "--limit", "1").out.splitlines()
    assert table[0].split() == ["AT", "ACTOR", "SOURCE", "ACTION", "SUBJECT", "DETAIL"]
    assert len(table) == 2
    assert '{"repository": "*", "role": "Owner"}' in table[1]


@pytest.mark.parametrize("limit", ["0", "-1", "100001"])
def test_the_number_of_rows_has_bounds(admin: Admin, limit: str) -> None:
    refused = admin("audit", "list", "--limit", limit)
    assert (refused.status, refused.slug) == (2, "invalid-setting")


# What click itself refuses


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("principal",),
        ("principal", "add"),
        ("principal", "add", "a", "b"),
        ("principal", "rename", "a"),
        ("principal", "list", "--format", "yaml"),
        ("role", "assign", "alice"),
        ("role", "list", "--format", ""),
        ("repository", "set", "app"),
        ("repository", "set", "--trust-only"),
        ("policy", "set", "content-trust", "off"),
        ("policy", "set", "everything", "enabled"),
        ("audit", "list", "--limit", "many"),
    ],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_what_can_not_be_parsed_is_usage(admin: Admin, arguments: tuple[str, ...]) -> None:
    refused = admin(*arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "Usage: trustkit admin" in refused.err


def test_the_data_folder_is_named_and_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for words in (["principal", "list"], ["--data-dir", str(tmp_path / "file"), "principal", "list"]):
        monkeypatch.setattr(sys, "argv", ["trustkit", "admin", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "--data-dir" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("principal", "list"), ("role", "list"), ("audit", "list"), ("collection", "list"), ("founders", "list"),
        ("allow-migration", "--list"), ("allow-migration", "--withdraw", "registry.example.com/app"),
        ("principal", "remove", "alice"), ("role", "assign", "alice", "AcrPush"), ("prune",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_folder_whose_name_is_mistyped_is_not_made(
    admin_anywhere: Admin, tmp_path: Path, words: tuple[str, ...]
) -> None:
    refused = admin_anywhere(*words)
    assert (refused.status, refused.slug, refused.out) == (1, "state", "")
    assert f"There is no service in {tmp_path / 'service'}." in refused.err
    assert "principal add" in refused.err, "how a new one begins"
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("principal", "add", "alice"), ("repository", "set", "*", "--trust-only"),
        ("policy", "set", "default-format", "docker"), ("founders", "add", "*", "--root-key", "ab" * 32),
        ("allow-migration", "registry.example.com/app"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_new_service_may_begin_with_what_is_set_up(
    admin_anywhere: Admin, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = admin_anywhere(*words)
    assert done.status == 0
    assert f"There is no service in {tmp_path / 'service'} yet; its database is made now." in done.err
    assert admin_anywhere("principal", "list").status == 0


def test_a_damaged_database_is_a_failure_that_says_so(admin: Admin, tmp_path: Path) -> None:
    add(admin)
    for file in (tmp_path / "service").glob("trustkit.db*"):
        file.write_bytes(b"no database at all" * 500)
    refused = admin("principal", "list")
    assert (refused.status, refused.slug, refused.out) == (1, "state", "")
