"""Settings from the environment: each value with its origin, and no value that is guessed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from trustkit.config import growth, home_folder, kek_uri, lifetimes, policy_file, trust_servers
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Host
from trustkit.errors import InvalidSetting


def test_lifetimes_are_the_defaults_until_one_is_set() -> None:
    assert lifetimes({}).value == Lifetimes()
    assert lifetimes({}).origin == "default"
    found = lifetimes({"TRUSTKIT_TARGETS_DAYS": "30", "TRUSTKIT_TIMESTAMP_DAYS": " 1 ", "TRUSTKIT_ROOT_DAYS": ""})
    assert found.origin == "TRUSTKIT_TARGETS_DAYS, TRUSTKIT_TIMESTAMP_DAYS"
    assert found.value.default["targets"] == timedelta(days=30)
    assert found.value.default["timestamp"] == timedelta(days=1)
    assert found.value.default["root"] == Lifetimes().default["root"]


@pytest.mark.parametrize(
    ("text", "above", "origin"),
    [("", 1000, "default"), ("0", 0, "TRUSTKIT_BINS_ABOVE"), (" 20000 ", 20_000, "TRUSTKIT_BINS_ABOVE")],
)
def test_with_how_many_tags_bins_are_made(text: str, above: int, origin: str) -> None:
    found = growth({"TRUSTKIT_BINS_ABOVE": text})
    assert (found.value, found.origin) == (Growth(above=above), origin)


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "20001", "٣", "1e3", "9" * 400])
def test_a_number_of_tags_is_one_that_fits_a_file(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TRUSTKIT_BINS_ABOVE"):
        growth({"TRUSTKIT_BINS_ABOVE": text})


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "1831", "٣", "1e3", "9" * 400])
def test_a_life_is_a_whole_number_of_days_within_the_bound_of_its_role(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TRUSTKIT_TARGETS_DAYS"):
        lifetimes({"TRUSTKIT_TARGETS_DAYS": text})


@pytest.mark.parametrize(
    ("flag", "environ", "file", "value", "origin"),
    [
        (None, "", None, "", "default"),
        (None, " ", None, "", "default"),
        (None, " hv:kek ", None, "hv:kek", "TRUSTKIT_KEK_URI"),
        ("hv:other", "hv:kek", None, "hv:other", "--kek-uri"),
        (None, "hv:kek", Path("kek"), "", "default"),
    ],
    ids=["nowhere", "blank", "environment", "option before environment", "a file's option before environment"],
)
def test_which_key_wraps_the_key_encryption_key(
    flag: str | None, environ: str, file: Path | None, value: str, origin: str
) -> None:
    found = kek_uri(flag, {"TRUSTKIT_KEK_URI": environ} if environ else {}, file=file)
    assert (found.value, found.origin) == (value, origin)


@pytest.mark.parametrize(("flag", "file"), [("", None), (" ", None), ("hv:kek", Path("kek"))])
def test_an_empty_uri_and_two_places_are_refused(flag: str, file: Path | None) -> None:
    with pytest.raises(InvalidSetting, match="--kek-uri"):
        kek_uri(flag, {}, file=file)


@pytest.mark.parametrize(
    ("environ", "host", "url"),
    [
        ({}, "r.example", None),
        ({"DOCKER_CONTENT_TRUST_SERVER": "https://n.example"}, "r.example", "https://n.example"),
        (
            {"TRUSTKIT_TRUST_SERVERS": "r.example=https://n.example:4443/trust/"},
            "r.example",
            "https://n.example:4443/trust",
        ),
        ({"TRUSTKIT_TRUST_SERVERS": "r.example=https://n.example"}, "r.example:5000", None),
        (
            {"TRUSTKIT_TRUST_SERVERS": " a.example=https://x.example, r.example:5000=http://localhost:4443 ,"},
            "r.example:5000",
            "http://localhost:4443",
        ),
        (
            {
                "TRUSTKIT_TRUST_SERVERS": "r.example=https://n.example",
                "DOCKER_CONTENT_TRUST_SERVER": "https://o.example",
            },
            "r.example",
            "https://n.example",
        ),
    ],
)
def test_where_the_trust_server_of_a_host_is(environ: dict[str, str], host: str, url: str | None) -> None:
    assert trust_servers(environ).value.url(Host.parse(host)) == url


@pytest.mark.parametrize(
    "text",
    [
        "r.example",
        "r.example=",
        "r.example=n.example",
        "r.example=http://n.example",
        "r.example=ftp://n.example",
        "r.example=https://me:pw@n.example",
        "r.example=https://n.example?x=1",
        "r.example=https://n.example/a/../b",
        "r.example=https://n example",
        "r/x=https://n.example",
        "r.example=https://a.example,r.example=https://b.example",
    ],
)
def test_a_trust_server_is_named_by_an_https_url(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TRUSTKIT_TRUST_SERVERS"):
        trust_servers({"TRUSTKIT_TRUST_SERVERS": text})


def test_dockers_variable_is_held_to_the_same() -> None:
    with pytest.raises(InvalidSetting, match="DOCKER_CONTENT_TRUST_SERVER"):
        trust_servers({"DOCKER_CONTENT_TRUST_SERVER": "http://n.example"})


@pytest.mark.parametrize("text", ["~nobody-has-this-name", "~nobody-has-this-name/x"])
def test_a_folder_of_nobody_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="--home names"):
        home_folder(text, {})
    with pytest.raises(InvalidSetting, match="TRUSTKIT_HOME names"):
        home_folder(None, {"TRUSTKIT_HOME": text})
    with pytest.raises(InvalidSetting, match="TRUSTKIT_POLICY names"):
        policy_file(None, {"TRUSTKIT_POLICY": text}, tmp_path)
