"""The paths of /v2: one table of what they mean, and attacks on the border between a name and its tail."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trustkit.core.names import Digest, Gun, Repository, Tag
from trustkit.core.notarypaths import NotaryChanges, NotaryCollection, NotaryFile, NotaryKey
from trustkit.core.paths import (
    MAX_PATH,
    Base,
    Blob,
    Catalog,
    Convert,
    Manifest,
    Metadata,
    OnlineKeys,
    Publish,
    Referrers,
    Route,
    TagList,
    Target,
    Upload,
    Uploads,
    parse_v2,
)
from trustkit.errors import InvalidName

HEX = "ab" * 32
DIGEST = Digest(HEX)
GUN = Gun.parse("localhost:5080/team/app")
IPV6 = Gun.parse("[::1]:5080/app")
T = "/v2/localhost:5080/team/app/_trust"


def _repo(path: str) -> Repository:
    return Repository.parse(path)


ROUTES: dict[str, Route | None] = {
    "/v2": Base(),
    "/v2/": Base(),
    "/v2/_catalog": Catalog(),
    "/v2/app/manifests/v1": Manifest(_repo("app"), Tag("v1")),
    f"/v2/team/app/manifests/sha256:{HEX}": Manifest(_repo("team/app"), DIGEST),
    f"/v2/app/blobs/sha256:{HEX}": Blob(_repo("app"), DIGEST),
    "/v2/app/blobs/uploads": Uploads(_repo("app")),
    "/v2/app/blobs/uploads/": Uploads(_repo("app")),
    "/v2/app/blobs/uploads/3f-A_b.c": Upload(_repo("app"), "3f-A_b.c"),
    "/v2/app/tags/list": TagList(_repo("app")),
    f"/v2/app/referrers/sha256:{HEX}": Referrers(_repo("app"), DIGEST),
    f"{T}/metadata": Publish(GUN),
    f"{T}/metadata/": Publish(GUN),
    f"{T}/online-keys": OnlineKeys(GUN),
    f"{T}/convert": Convert(GUN),
    f"{T}/convert/keys": Convert(GUN, keys=True),
    f"{T}/convert/docker": Convert(GUN, docker=True),
    f"{T}/convert/docker/": None,
    f"{T}/metadata/timestamp.json": Metadata(GUN, "timestamp", None),
    f"{T}/metadata/1.root.json": Metadata(GUN, "root", 1),
    f"{T}/metadata/2147483647.targets.json": Metadata(GUN, "targets", 2147483647),
    f"{T}/targets/{HEX}.v1.2": Target(GUN, DIGEST, Tag("v1.2")),
    "/v2/[::1]:5080/app/_trust/online-keys": OnlineKeys(IPV6),
    # names that look like tails
    "/v2/a/manifests/b/manifests/v1": Manifest(_repo("a/manifests/b"), Tag("v1")),
    "/v2/a/blobs/uploads/manifests/v1": Manifest(_repo("a/blobs/uploads"), Tag("v1")),
    "/v2/a/blobs/uploads/blobs/uploads/": Uploads(_repo("a/blobs/uploads")),
    "/v2/a/blobs/uploads/blobs/uploads/x": Upload(_repo("a/blobs/uploads"), "x"),
    f"/v2/a/blobs/uploads/blobs/sha256:{HEX}": Blob(_repo("a/blobs/uploads"), DIGEST),
    "/v2/a/blobs/blobs/uploads": Uploads(_repo("a/blobs")),
    "/v2/tags/list/tags/list": TagList(_repo("tags/list")),
    "/v2/tags/list/manifests/list": Manifest(_repo("tags/list"), Tag("list")),
    "/v2/manifests/manifests/manifests": Manifest(_repo("manifests"), Tag("manifests")),
    f"/v2/v2/referrers/sha256:{HEX}": Referrers(_repo("v2"), DIGEST),
    "/v2/app/manifests/_trust2": Manifest(_repo("app"), Tag("_trust2")),
    # well-formed, and nobody's
    "/": None,
    "/v1/app/manifests/v1": None,
    "/v2x/app/manifests/v1": None,
    "/V2/app/manifests/v1": None,
    "/v2/app": None,
    "/v2/_catalog/": None,
    "/v2/tags/list": None,
    "/v2/manifests/v1": None,
    "/v2/app/manifests/v1/": None,
    "/v2/app/blobs/uploads/x/": None,
    "/v2/app/blobs/uploads/x/y": None,
    "/v2/app/tags/list/": None,
    "/v2/app/tags/List": None,
    f"{T}/metadata/timestamp.json/": None,
    f"{T}/metadata/root.json": None,
    f"{T}/metadata/0.root.json": None,
    f"{T}/metadata/01.root.json": None,
    f"{T}/metadata/-1.root.json": None,
    f"{T}/metadata/99999999999.root.json": None,
    f"{T}/metadata/1.root.json.json": None,
    f"{T}/metadata/1.a/b.json": None,
    f"{T}/targets/{HEX}": None,
    f"{T}/targets/{HEX.upper()}.v1": None,
    f"{T}/targets/{HEX[:-1]}.v1": None,
    f"{T}/": None,
    T: None,
    f"{T}/tuf": None,
    f"{T}/tuf/root.json/": None,
    f"{T}/tuf/0.root.json": None,
    f"{T}/tuf/01.root.json": None,
    f"{T}/tuf/99999999999.root.json": None,
    f"{T}/tuf/mirrors.json": None,
    f"{T}/tuf/1.root.{HEX}.json": None,
    f"{T}/tuf/root/x.json": None,
    f"{T}/tuf/targets/Bob.json": None,
    f"{T}/tuf/targets/b.ob.json": None,
    f"{T}/tuf/targets/.json": None,
    f"{T}/tuf/targets/a/.{HEX}.json": None,
    f"{T}/tuf/targets/{'a' * 300}.json": None,
    f"{T}/tuf/root.{HEX.upper()}.json": None,
    f"{T}/tuf/root.{HEX[1:]}.json": None,
    f"{T}/tuf/root.key": None,
    f"{T}/tuf/targets/releases.key": None,
    f"{T}/tuf/1.timestamp.key": None,
    f"{T}/changefeed/": None,
    # Notary's API
    f"{T}/tuf/": NotaryCollection(GUN),
    f"{T}/tuf/root.json": NotaryFile(GUN, "root"),
    f"{T}/tuf/12.root.json": NotaryFile(GUN, "root", 12),
    f"{T}/tuf/snapshot.{HEX}.json": NotaryFile(GUN, "snapshot", digest=HEX),
    f"{T}/tuf/root.{HEX}{HEX}.json": NotaryFile(GUN, "root", digest=HEX * 2),
    f"{T}/tuf/targets/releases.json": NotaryFile(GUN, "targets/releases"),
    f"{T}/tuf/3.targets/team/bob.json": NotaryFile(GUN, "targets/team/bob", 3),
    f"{T}/tuf/targets/team/bob.{HEX}.json": NotaryFile(GUN, "targets/team/bob", digest=HEX),
    f"{T}/tuf/timestamp.key": NotaryKey(GUN, "timestamp"),
    f"{T}/tuf/snapshot.key": NotaryKey(GUN, "snapshot"),
    f"{T}/changefeed": NotaryChanges(GUN),
    "/v2/_trust/changefeed": NotaryChanges(),
    "/v2/[::1]:5080/app/_trust/tuf/": NotaryCollection(IPV6),
}


@pytest.mark.parametrize("path", ROUTES)
def test_routes(path: str) -> None:
    assert parse_v2(path.encode()) == ROUTES[path]


REFUSED: list[bytes] = [
    b"/v2/_trust/changefeed/",
    b"/v2/_trust/tuf/",
    b"/v2/app/_trust/tuf/root.json",
    f"{T}/tuf/targets/../root.json".encode(),
    f"{T}/tuf/targets%2freleases.json".encode(),
    f"{T}/tuf//root.json".encode(),
    b"",
    b"v2/",
    b"//v2/",
    b"/v2//",
    b"/v2//app/manifests/v1",
    b"/v2/app//manifests/v1",
    b"/v2/app/manifests//v1",
    b"/v2/team%2fapp/manifests/v1",
    b"/v2/team%2Fapp/manifests/v1",
    b"/v2/%61pp/manifests/v1",
    b"/v2/app%00/manifests/v1",
    b"/v2/%2e%2e/manifests/v1",
    b"/v2/../v2/app/manifests/v1",
    b"/v2/app/../other/manifests/v1",
    b"/v2/app/./manifests/v1",
    b"/v2/app/manifests/..",
    b"/v2/app/manifests/.",
    b"/v2/..",
    b"/v2/app/blobs/uploads/..",
    b"/v2/app/manifests/v1\0",
    b"/v2/app/manifests/v1\n",
    b"/v2/app/manifests/v1\r\nHost: x",
    b"/v2/app\\other/manifests/v1",
    b"/v2/app/manifests/v1?x=1",
    b"/v2/app/manifests/v1#x",
    b"/v2/app/manifests/v1;x",
    b"/v2/app/manifests/v 1",
    b"/v2/app/manifests/v1+x",
    "/v2/\u0430pp/manifests/v1".encode(),
    b"/v2/\xff/manifests/v1",
    b"/v2/App/manifests/v1",
    b"/v2/localhost:5080/app/manifests/v1",
    b"/v2/app:80/manifests/v1",
    b"/v2/app@x/manifests/v1",
    b"/v2/[::1]/manifests/v1",
    b"/v2/_app/manifests/v1",
    b"/v2/app/manifests/-v1",
    b"/v2/app/manifests/" + b"v" * 129,
    b"/v2/app/manifests/sha256:" + b"A" * 64,
    b"/v2/app/manifests/sha512:" + b"a" * 128,
    b"/v2/app/blobs/v1",
    b"/v2/app/blobs/sha256:" + b"a" * 63,
    b"/v2/app/referrers/v1",
    b"/v2/" + b"a" * 256 + b"/tags/list",
    b"/v2/" + b"a/" * MAX_PATH + b"tags/list",
    b"/v2/team/app/_trust/metadata/timestamp.json",
    b"/v2/_trust/metadata/timestamp.json",
    b"/v2/localhost:5080/_trust/metadata/timestamp.json",
    b"/v2/localhost:0/app/_trust/metadata/timestamp.json",
    b"/v2/localhost:99999/app/_trust/metadata/timestamp.json",
    b"/v2/LOCALHOST/app/_trust/metadata/timestamp.json",
    b"/v2/localhost/app/_trust/_trust/metadata/timestamp.json",
    b"/v2/localhost/app/_trust/metadata/_trust/metadata/timestamp.json",
    b"/v2/localhost/app/_trust/manifests/_trust",
    b"/v2/[..]/app/_trust/online-keys",
    b"/v2/u@localhost/app/_trust/online-keys",
    b"/v2/localhost/app/_trust/targets/" + HEX.encode() + b"..v1",
    b"/v2/localhost/app/_trust/targets/" + HEX.encode() + b".v:1",
]


@pytest.mark.parametrize("path", REFUSED)
def test_attacks(path: bytes) -> None:
    with pytest.raises(InvalidName) as refusal:
        parse_v2(path)
    assert refusal.value.message.isprintable()


def test_the_longest_path() -> None:
    stem = b"/v2/app/blobs/uploads/"
    with pytest.raises(InvalidName, match="longer"):
        parse_v2(stem + b"x" * (MAX_PATH + 1 - len(stem)))


def rendered(route: Route) -> str:
    """The one path of a route; the inverse of parse_v2 up to optional slashes."""
    match route:
        case Base():
            return "/v2/"
        case Catalog():
            return "/v2/_catalog"
        case Manifest(repository, reference):
            return f"/v2/{repository}/manifests/{reference}"
        case Blob(repository, digest):
            return f"/v2/{repository}/blobs/{digest}"
        case Uploads(repository):
            return f"/v2/{repository}/blobs/uploads/"
        case Upload(repository, session):
            return f"/v2/{repository}/blobs/uploads/{session}"
        case TagList(repository):
            return f"/v2/{repository}/tags/list"
        case Referrers(repository, digest):
            return f"/v2/{repository}/referrers/{digest}"
        case Publish(gun):
            return f"/v2/{gun}/_trust/metadata"
        case OnlineKeys(gun):
            return f"/v2/{gun}/_trust/online-keys"
        case Metadata(gun, role, None):
            return f"/v2/{gun}/_trust/metadata/{role}.json"
        case Metadata(gun, role, version):
            return f"/v2/{gun}/_trust/metadata/{version}.{role}.json"
        case Target(gun, digest, tag):
            return f"/v2/{gun}/_trust/targets/{digest.hex}.{tag}"


_TAIL = ["manifests", "blobs", "uploads", "tags", "list", "referrers", "_trust", "metadata", "targets", "online-keys"]
_WORD = st.sampled_from(
    [*_TAIL, "v2", "app", "a", "_catalog", "v1", f"sha256:{HEX}", f"{HEX}.v1", "localhost", "r.io:1"]
)
_MORE = st.sampled_from(["timestamp.json", "1.root.json", "", ".", "..", "%2f", "[::1]", "A"])


@given(st.lists(_WORD | _WORD | _WORD | _MORE, max_size=9))
def test_a_route_is_rendered_to_a_path_that_means_the_same(words: list[str]) -> None:
    try:
        route = parse_v2(("/v2/" + "/".join(words)).encode())
    except InvalidName:
        return
    if route is not None:
        assert parse_v2(rendered(route).encode()) == route
        assert rendered(route).rstrip("/") == ("/v2/" + "/".join(words)).rstrip("/")


_COMPONENT = st.sampled_from([word for word in _TAIL if word != "_trust"] + ["a", "v2", "b-c"])
_REPOSITORY = st.lists(_COMPONENT, min_size=1, max_size=5).map("/".join).map(Repository.parse)
_TAG = st.sampled_from(["v1", "list", "uploads", "latest", "_x", "manifests"]).map(Tag.parse)
_GUN = st.builds(lambda host, path: Gun.parse(f"{host}/{path}"), st.sampled_from(["r.io", "[::1]:1"]), _REPOSITORY)


@given(
    st.builds(Manifest, _REPOSITORY, _TAG | st.just(DIGEST))
    | st.builds(Blob, _REPOSITORY, st.just(DIGEST))
    | st.builds(Uploads, _REPOSITORY)
    | st.builds(Upload, _REPOSITORY, st.sampled_from(["uploads", "x.y", "list", "_trust2"]))
    | st.builds(TagList, _REPOSITORY)
    | st.builds(Referrers, _REPOSITORY, st.just(DIGEST))
    | st.builds(Publish, _GUN)
    | st.builds(OnlineKeys, _GUN)
    | st.builds(Metadata, _GUN, st.sampled_from(["root", "alice", "timestamp"]), st.integers(1, 2**31 - 1))
    | st.builds(Target, _GUN, st.just(DIGEST), _TAG)
)
def test_no_repository_name_makes_a_path_mean_something_else(route: Route) -> None:
    assert parse_v2(rendered(route).encode()) == route


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda raw: b"/v2/" + raw))
@example(b"/v2/" + b"-" * 1000 + b"/tags/list")
@example(b"/v2/" + b"a-" * 500 + b"/tags/list")
def test_arbitrary_bytes_are_a_route_or_refused(raw: bytes) -> None:
    try:
        parse_v2(raw)
    except InvalidName:
        return
    assert b"%" not in raw
