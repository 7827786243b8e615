"""Which proxy leads where: the variables, and NO_PROXY as Go has it."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.remote.forward import forwarding, says
from trustkit.errors import InvalidSetting
from trustkit.remote.messages import Origin
from trustkit.remote.proxies import exempt, proxy_for, read_proxy

SECURE = Origin("https", "registry.example.com", 443)
PLAIN = Origin("http", "registry.example.com", 80)


def where(origin: Origin, **environ: str) -> str:
    return str(proxy_for(origin, environ))


@pytest.mark.parametrize(
    ("origin", "environ", "expected"),
    [
        (SECURE, {}, "None"),
        (SECURE, {"HTTPS_PROXY": ""}, "None"),
        (SECURE, {"HTTPS_PROXY": "a:1"}, "http://a:1"),
        (SECURE, {"https_proxy": "a:1"}, "http://a:1"),
        (SECURE, {"HTTPS_PROXY": "a:1", "https_proxy": "b:2"}, "http://a:1"),
        (SECURE, {"HTTPS_PROXY": "", "https_proxy": "b:2"}, "http://b:2"),
        (SECURE, {"HTTP_PROXY": "a:1"}, "None"),
        (SECURE, {"ALL_PROXY": "a:1"}, "http://a:1"),
        (SECURE, {"all_proxy": "a:1"}, "http://a:1"),
        (SECURE, {"ALL_PROXY": "socks5://a:1", "HTTPS_PROXY": "b:2"}, "http://b:2"),
        (SECURE, {"HTTPS_PROXY": "a:1", "REQUEST_METHOD": "GET"}, "http://a:1"),
        (PLAIN, {"HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"}, "http://a:1"),
        (PLAIN, {"http_proxy": "a:1"}, "http://a:1"),
        (PLAIN, {"HTTPS_PROXY": "b:2"}, "None"),
        (PLAIN, {"ALL_PROXY": "c:3"}, "http://c:3"),
        (PLAIN, {"HTTP_PROXY": "evil:1", "REQUEST_METHOD": "GET"}, "None"),
        (PLAIN, {"HTTP_PROXY": "evil:1", "REQUEST_METHOD": ""}, "None"),
        (PLAIN, {"HTTP_PROXY": "evil:1", "http_proxy": "b:2", "REQUEST_METHOD": "GET"}, "http://b:2"),
        (SECURE, {"HTTPS_PROXY": "a:1", "NO_PROXY": "example.com"}, "None"),
        (SECURE, {"HTTPS_PROXY": "a:1", "no_proxy": "example.com"}, "None"),
        (SECURE, {"HTTPS_PROXY": "a:1", "NO_PROXY": "other", "no_proxy": "example.com"}, "http://a:1"),
        (SECURE, {"HTTPS_PROXY": "socks5://a", "NO_PROXY": "*"}, "None"),
    ],
)
def test_the_variable_that_counts(origin: Origin, environ: dict[str, str], expected: str) -> None:
    assert where(origin, **environ) == expected


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_this_machine_is_never_reached_through_a_proxy(name: str) -> None:
    assert proxy_for(Origin("https", name, 5080), {"ALL_PROXY": "a:1", "HTTPS_PROXY": "a:1"}) is None
    assert proxy_for(Origin("http", name, 5080), {"ALL_PROXY": "a:1", "HTTP_PROXY": "a:1"}) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy", "http://proxy:80"),
        ("proxy.corp.example:3128", "http://proxy.corp.example:3128"),
        ("http://proxy", "http://proxy:80"),
        ("HTTP://Proxy:3128/", "http://proxy:3128"),
        ("https://proxy", "https://proxy:443"),
        ("http://192.0.2.1:3128", "http://192.0.2.1:3128"),
        ("http://[2001:DB8::1]:3128", "http://[2001:db8::1]:3128"),
        ("[2001:db8::1]", "http://[2001:db8::1]:80"),
        ("http://my_proxy.:3128", "http://my_proxy.:3128"),
    ],
)
def test_a_proxys_url(value: str, expected: str) -> None:
    assert str(read_proxy("HTTPS_PROXY", value)) == expected


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("http://me:pass@proxy", "me:pass"),
        ("me:pass@proxy:3128", "me:pass"),
        ("http://me@proxy", "me:"),
        ("http://:pass@proxy", ":pass"),
        ("http://me:a%40b%3A%2F%25%23@proxy", "me:a@b:/%#"),
        ("http://me:a@b:c@proxy", "me:a@b:c"),
        ("http://m%C3%BC:%C3%A9@proxy", "mü:é"),
    ],
)
def test_its_login_is_percent_decoded_and_shown_nowhere(value: str, login: str) -> None:
    proxy = read_proxy("HTTPS_PROXY", value)
    assert base64.b64decode(proxy.authorization.removeprefix("Basic ")).decode() == login
    assert "pass" not in f"{proxy}{proxy!r}"
    assert proxy.authorization not in f"{proxy}{proxy!r}"


SECRET = "pa55"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"socks5://me:{SECRET}@proxy:1080", "SOCKS"),
        (f"SOCKS5H://me:{SECRET}@proxy", "SOCKS"),
        (f"socks4a://me:{SECRET}@proxy", "SOCKS"),
        (f"ftp://me:{SECRET}@proxy", "no URL"),
        (f"me:{SECRET}://x@proxy", "no URL"),
        (f"http://me:{SECRET}@", "no host"),
        (f"http://me:{SECRET}@proxy:", "no host"),
        (f"http://me:{SECRET}@proxy:0", "no host"),
        (f"http://me:{SECRET}@proxy:65536", "no host"),
        (f"http://me:{SECRET}@proxy:http", "no host"),
        (f"http://me:{SECRET}@-proxy", "no host"),
        (f"http://me:{SECRET}@pro%78y", "no host"),
        (f"http://me:{SECRET}@[::1", "no host"),
        (f"http://me:{SECRET}@[1:2]:3128", "brackets"),
        (f"http://me:1{SECRET}/x@proxy", "more in it"),
        (f"http://me:{SECRET}?x@proxy", "more in it"),
        (f"http://me:{SECRET}#x@proxy", "more in it"),
        (f"http://me:{SECRET}\\x@proxy", "more in it"),
        (f"http://proxy/{SECRET}", "more in it"),
        (f"http://me:{SECRET}@proxy\r\nX-Other: y", "blank"),
        (f"http://me:{SECRET}@proxy ", "blank"),
        (f" http://me:{SECRET}@proxy", "blank"),
        (f"http://me:{SECRET}\t@proxy", "blank"),
        (f"http://me:{SECRET}\x00@proxy", "blank"),
        (f"http://me:{SECRET}ü@proxy", "blank"),
        (f"http://me:{SECRET}%0d%0aX:%20y@proxy", "can't be used"),
        (f"http://me%3Ayou:{SECRET}@proxy", "can't be used"),
        (f"http://me:{SECRET}%4@proxy", "can't be used"),
        (f"http://me:{SECRET}%zz@proxy", "can't be used"),
        (f"http://me:{SECRET}%7f@proxy", "can't be used"),
    ],
)
def test_what_is_no_proxy_is_refused_and_not_repeated(value: str, said: str) -> None:
    """It may be a header for the proxy, and it may be a password."""
    with pytest.raises(InvalidSetting) as refused:
        proxy_for(SECURE, {"HTTPS_PROXY": value})
    text = f"{refused.value} {refused.value!r} {refused.value.context}"
    assert said in text
    assert "HTTPS_PROXY" in text
    assert SECRET not in text
    cause = refused.value.__cause__
    assert cause is None or SECRET not in str(cause)


# The first three groups are golang.org/x/net/http/httpproxy's own table (its proxy_test.go, UseProxyTests).
LISTED = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)


@pytest.mark.parametrize(
    ("name", "straight"),
    [
        ("[::2]", False),
        ("192.168.1.1", True),
        ("192.168.1.2", False),
        ("192.168.1.3", True),
        ("192.168.1.4", False),
        ("10.0.0.2", True),
        ("10.0.0.4", False),
        ("[2001:db8::52:0:1]", True),
        ("[2001:db8::52:0:2]", False),
        ("[2001:db8::52:0:3]", True),
        ("[2002:db8:a::123]", True),
        ("[fe80::424b:c8be:1643:a1b6]", False),
        ("barbaz.net", False),
        ("www.barbaz.net", True),
        ("foobar.com", True),
        ("www.foobar.com", True),
        ("foofoobar.com", False),
        ("baz.com", False),
        ("localhost.net", False),
        ("local.localhost", False),
        ("barbarbaz.net", False),
        ("wildcard.io", False),
        ("nested.wildcard.io", True),
        ("awildcard.io", False),
    ],
)
def test_no_proxy_as_go_has_it(name: str, straight: bool) -> None:
    assert exempt(Origin("http", name, 80), LISTED) is straight
    assert exempt(Origin("http", name, 80), f"{LISTED},*") is True
    assert exempt(Origin("http", name, 80), f"{LISTED},*.*") is straight


@pytest.mark.parametrize(
    ("origin", "listed", "straight"),
    [
        (SECURE, "registry.example.com:443", True),
        (SECURE, "registry.example.com:5000", False),
        (SECURE, ".example.com:443", True),
        (SECURE, ".example.com:80", False),
        (SECURE, "REGISTRY.Example.COM", True),
        (SECURE, "example.com registry.example.com", False),
        (SECURE, "gistry.example.com", False),
        (SECURE, "com", True),
        (SECURE, ":443", False),
        (SECURE, ",, ,", False),
        (SECURE, "registry.example.com:", True),
        (SECURE, "https://registry.example.com", False),
        (SECURE, "*example.com", False),
        (SECURE, "..", False),
        (Origin("https", "10.1.2.3", 443), "10.0.0.0/8", True),
        (Origin("https", "10.1.2.3", 443), "10.1.2.3/8", True),
        (Origin("https", "10.1.2.3", 443), "10.0.0.0/255.0.0.0", False),
        (Origin("https", "10.1.2.3", 443), "10.0.0.0/33", False),
        (Origin("https", "10.1.2.3", 443), "10.0.0.0/", False),
        (Origin("https", "10.1.2.3", 443), ".3", False),
        (Origin("https", "10.1.2.3", 443), "2.3", False),
        (Origin("https", "10.1.2.3", 443), "::ffff:10.1.2.3", True),
        (Origin("https", "10.1.2.3", 443), "10.1.2.3:443", True),
        (Origin("https", "10.1.2.3", 443), "::/0", False),
        (Origin("https", "[2001:db8::1]", 443), "[2001:db8::1]", False),
        (Origin("https", "[2001:db8::1]", 443), "2001:DB8:0::1", True),
        (Origin("https", "[2001:db8::1]", 443), "0.0.0.0/0", False),
        (Origin("https", "xn--fsq092h.com", 443), "示例.com", True),
        (Origin("https", "xn--fsq092h.com", 443), "\ud800.com", False),
    ],
)
def test_more_of_no_proxy(origin: Origin, listed: str, straight: bool) -> None:
    assert exempt(origin, listed) is straight


@pytest.mark.real
@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("registry.invalid:5000", "other.invalid"),
        ("registry.invalid:5000", "invalid"),
        ("registry.invalid:5000", ".invalid:5000"),
        ("registry.invalid:5000", "registry.invalid:443"),
        ("registry.invalid:5000", "*.invalid"),
        ("registry.invalid:5000", "gistry.invalid"),
        ("registry.invalid:5000", "a,*"),
        ("localhost:1", ""),
        ("127.0.0.2:1", ""),
        ("0.0.0.0:1", ""),
        ("0.0.0.0:1", "0.0.0.0/8"),
        ("0.0.0.0:1", "0.0.0.0:2"),
        ("0.0.0.0:1", "0.0.0.0:1"),
        ("0.0.0.0:1", "0.0.0.0/255.0.0.0"),
    ],
)
def test_skopeo_goes_the_same_way(host: str, listed: str, need: Callable[[str, str], Path], tmp_path: Path) -> None:
    """A program in Go with the same variables asks the proxy where we would, and only there."""
    name, _, port = host.rpartition(":")
    with forwarding(says(b"HTTP/1.1 403 no\r\n\r\n")) as proxy:
        environ = {"HTTPS_PROXY": f"http://{proxy.address}", "HTTP_PROXY": f"http://{proxy.address}"}
        environ |= {"NO_PROXY": listed, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        asking = [need("skopeo", "skopeo"), "--command-timeout", "10s", "inspect", f"docker://{host}/app:v1"]
        subprocess.run(asking, env=environ, capture_output=True, check=False, timeout=60)
        went = bool(proxy.heads)
    assert went is (proxy_for(Origin("https", name, int(port)), environ) is not None)
