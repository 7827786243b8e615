"""The policy file: what it takes, where it says that something is wrong, and its schema, which says the same."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.names import Gun, ImageRef
from trustkit.core.policy import Mode, Policy
from trustkit.core.policyfile import parse
from trustkit.core.policyplaces import locate
from trustkit.core.ports.remote import Pin
from trustkit.errors import InvalidSetting, PolicyDenies
from trustkit.home.policy import SCHEMA

KEY = "a" * 64
OTHER = "b" * 64
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
WHOLE = f"""\
version = 1

[[rule]] # what nobody else has a rule for
pattern = "*"
mode = "digest-only"

[[rule]]
pattern = "r.example/*"
root_keys = ["{KEY}", "{OTHER}"]
root_threshold = 1
signers = [
    "ci",
    "dora",
]
signers_needed = 1
max_staleness = "12h"
digests = "refuse"
detect = true

[[rule]]
pattern = "r.example/team/app"
root_file = "app.root.json"

[[rule]]
pattern = "d.example/*"
format = "docker"
ca_file = "ca.crt"
max_staleness = "2h"

[[rule]]
pattern = "d.example/app"
format = "docker"
root_keys = ["{KEY}"]

[[mirror]]
location = "mirror.local:5000"
home = "docker.io"

[[mirror]]
location = "mirror.local:5000/hub"
home = "r.example"
"""


def read(text: str) -> Policy:
    return parse(text.encode(), where="policy.toml", root_file=_file)


def _file(name: str) -> bytes:
    return CERTIFICATE if name.endswith(".crt") else f'{{"root": "{name}"}}'.encode()


def test_every_member_is_read() -> None:
    everything, team, app, authority, docker = read(WHOLE).rules
    assert (everything.name, everything.mode, everything.digests) == ("*", Mode.DIGEST_ONLY, True)
    assert (team.root_keys, team.root_threshold, team.signers_needed) == ((KEY, OTHER), 1, 1)
    assert (team.max_staleness, team.digests, team.detect) == (timedelta(hours=12), False, True)
    assert team.demand is not None
    assert app.root == b'{"root": "app.root.json"}'
    pin = app.pin(Gun.parse("r.example/team/app"))
    assert pin is not None
    assert (pin.root, pin.pattern, pin.format) == (app.root, "r.example/team/app", "tuf")
    pins = [rule.pin(Gun.parse("d.example/app")) for rule in (authority, docker)]
    assert pins == [
        Pin("d.example/app", format="docker", authorities=CERTIFICATE),
        Pin("d.example/app", key_ids=(KEY,), threshold=1, format="docker"),
    ]
    assert (authority.words, docker.words) == (
        "root keys of authorities; in format docker",
        "1 of 1 root keys; in format docker",
    )


@pytest.mark.parametrize(
    ("gun", "rule"),
    [
        ("r.example/team/app", "r.example/team/app"),
        ("r.example/team/app/more", "r.example/*"),
        ("r.example/other", "r.example/*"),
        ("docker.io/library/alpine", "*"),
    ],
)
def test_the_most_specific_rule_counts_alone(gun: str, rule: str) -> None:
    assert read(WHOLE).rule(Gun.parse(gun)).name == rule


def test_an_empty_policy_denies() -> None:
    with pytest.raises(PolicyDenies):
        read("version = 1\n").rule(Gun.parse("r.example/app"))


@pytest.mark.parametrize(
    ("ref", "home"),
    [
        ("mirror.local:5000/hub/team/app:v1", "r.example/team/app:v1"),
        ("mirror.local:5000/library/alpine:v1", "docker.io/library/alpine:v1"),
        ("mirror.local:5000/hubby/app:v1", "docker.io/hubby/app:v1"),
        ("mirror.local/hub/app:v1", "mirror.local/hub/app:v1"),
        (f"mirror.local:5000/hub/app@sha256:{KEY}", f"r.example/app@sha256:{KEY}"),
    ],
)
def test_the_longest_mirror_says_the_home_s_name(ref: str, home: str) -> None:
    assert str(read(WHOLE).home(ImageRef.parse(ref))) == home


MIRROR = '[[mirror]]\nlocation = "m.example"\nhome = "r.example"\n'
RULE = 'version = 1\n[[rule]]\npattern = "r.example/app"\n'
BAD = {
    "empty": ("", 1, 1, "version"),
    "another version": ("version = 2\n", 1, 1, "version"),
    "a version that is true": ("version = true\n", 1, 1, "whole number"),
    "no TOML": ("version = 1\n[[rule]\n", 2, 7, "]]"),
    "a text that doesn't end": ('version = 1\nrule = "', 2, 9, "unterminated"),
    "a member twice": ("version = 1\nversion = 1\n", 2, 12, "overwrite"),
    "a typo in a member": (f'{RULE}  signer = ["ci"]\n', 4, 3, "'signer'"),
    "a typo at the top": ("version = 1\n\nrules = []\n", 3, 1, "'rules'"),
    "a rule that is no array": ("version = 1\n[rule]\n", 2, 2, "a list"),
    "a rule that is no table": ("version = 1\nrule = [1]\n", 2, 1, "tables"),
    "no pattern": ("version = 1\n[[rule]]\n", 2, 3, "no pattern"),
    "a pattern in the middle": ('version = 1\n[[rule]]\npattern = "r.example/*/app"\n', 3, 1, "repository name"),
    "a host's pattern": ('version = 1\n[[rule]]\npattern = "*.example/app"\n', 3, 1, "host"),
    "no host": ('version = 1\n[[rule]]\npattern = "app"\n', 3, 1, "registry"),
    "a pattern twice": (f'{RULE}[[rule]]\npattern = "r.example/app"\n', 5, 1, "twice"),
    "an unknown mode": (f'{RULE}mode = "trust"\n', 4, 1, "trust-only"),
    "unsigned by its short name": (f'{RULE}mode = "allow_unsigned"\n', 4, 1, "unsafe_allow_unsigned"),
    "a pin where nobody is asked": (f'{RULE}mode = "digest-only"\nroot_keys = ["{KEY}"]\n', 5, 1, "means nothing"),
    "a key id that is none": (f'{RULE}root_keys = ["ab"]\n', 4, 1, "64"),
    "a key twice": (f'{RULE}root_keys = ["{KEY}", "{KEY}"]\n', 4, 1, "twice"),
    "no keys": (f"{RULE}root_keys = []\n", 4, 1, "empty"),
    "keys that are numbers": (f"{RULE}root_keys = [1]\n", 4, 1, "texts"),
    "more keys than there are": (f'{RULE}root_keys = ["{KEY}"]\nroot_threshold = 2\n', 4, 1, "can't be met"),
    "none of the keys": (f'{RULE}root_keys = ["{KEY}"]\nroot_threshold = 0\n', 4, 1, "can't be met"),
    "a threshold of nothing": (f"{RULE}root_threshold = 1\n", 4, 1, "without root_keys"),
    "keys and a file": (f'{RULE}root_keys = ["{KEY}"]\nroot_file = "r"\n', 5, 1, "exclude"),
    "an unknown format": (f'{RULE}root_keys = ["{KEY}"]\nformat = "notary"\n', 5, 1, "docker, tuf"),
    "a format of nothing": (f'{RULE}format = "docker"\n', 4, 1, "means nothing without"),
    "an authority of format tuf": (f'{RULE}ca_file = "ca.crt"\n', 4, 1, "format docker"),
    "an authority that is none": (f'{RULE}format = "docker"\nca_file = "root.json"\n', 5, 1, "PEM"),
    "keys and an authority": (
        f'{RULE}format = "docker"\nroot_keys = ["{KEY}"]\nca_file = "ca.crt"\n',
        6,
        1,
        "exclude",
    ),
    "a tuf root for docker": (f'{RULE}format = "docker"\nroot_file = "r"\n', 5, 1, "not of format docker"),
    "a file for many": ('version = 1\n[[rule]]\npattern = "*"\nroot_file = "r"\n', 4, 1, "one repository"),
    "a signer that is none": (f'{RULE}signers = [\n  "ci",\n  "A b",\n]\n', 4, 1, "signer"),
    "a signer twice": (f'{RULE}signers = ["ci", "ci"]\n', 4, 1, "named once"),
    "more signers than there are": (f'{RULE}signers = ["ci"]\nsigners_needed = 2\n', 4, 1, "named once"),
    "some of nobody": (f"{RULE}signers_needed = 1\n", 4, 1, "without signers"),
    "an age without unit": (f'{RULE}max_staleness = "12"\n', 4, 1, "age"),
    "an age that is a number": (f"{RULE}max_staleness = 12\n", 4, 1, "text"),
    "detect in words": (f'{RULE}detect = "yes"\n', 4, 1, "true or false"),
    "digests of another kind": (f'{RULE}digests = "any"\n', 4, 1, "signed or refuse"),
    "a mirror of nowhere": ('version = 1\n[[mirror]]\nhome = "r.example"\n', 2, 3, "no location"),
    "a mirror that is no host": (
        'version = 1\n[[mirror]]\nlocation = "hub"\nhome = "r.example"\n',
        3,
        1,
        "registry",
    ),
    "a mirror twice": (
        f"version = 1\n{MIRROR}{MIRROR.replace('r.example', 's.example')}",
        6,
        1,
        "twice",
    ),
}


@pytest.mark.parametrize(("text", "line", "column", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read(text)
    assert (caught.value.context["line"], caught.value.context["column"]) == (line, column), caught.value.message
    assert f"policy.toml, line {line}, column {column}: " in caught.value.message
    assert words in caught.value.message


def test_bytes_that_are_no_text_and_files_without_end_are_told() -> None:
    with pytest.raises(InvalidSetting, match="line 2, column 3"):
        parse(b"version = 1\n# \xff", where="policy.toml", root_file=lambda _: b"")
    with pytest.raises(InvalidSetting, match="bytes"):
        parse(b"#" * 2_000_000, where="policy.toml", root_file=lambda _: b"")
    with pytest.raises(InvalidSetting):
        read(f"version = {'[' * 100_000}")


def in_schema(text: str) -> bool:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(document)


def test_the_schema_takes_what_is_taken() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    assert in_schema(WHOLE)
    assert in_schema("version = 1\n")


BEYOND_A_SCHEMA = {
    "a pattern in the middle",
    "a host's pattern",
    "no host",
    "a pattern twice",
    "a pin where nobody is asked",
    "more keys than there are",
    "a file for many",
    "an authority that is none",
    "a tuf root for docker",
    "more signers than there are",
    "a mirror that is no host",
    "a mirror twice",
    "none of the keys",
}


@pytest.mark.parametrize("name", sorted(set(BAD) - BEYOND_A_SCHEMA | {"none of the keys"}))
def test_the_schema_refuses_what_a_schema_can_see(name: str) -> None:
    assert not in_schema(BAD[name][0])


names = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(names, names, st.integers(0, 9)), max_size=8))
def test_a_member_is_found_in_its_own_line(tables: list[tuple[str, str, int]]) -> None:
    lines: list[str] = []
    places: dict[tuple[str | int, ...], int] = {}
    counts: dict[str, int] = {}
    for table, member, value in tables:
        number = counts.get(table, 0)
        counts[table] = number + 1
        lines += [f"[[{table}]]", "", "# " + member, f"{member} = [", f"  {value},", "]"]
        places[table, number, member] = len(lines) - 2
    text = "\n".join(lines) + "\n"
    for place, line in places.items():
        assert locate(text, place) == (line, 1)
