"""What is read in a review, and what its answer says, without a network: every kind, skip rule and bad input."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hooks.webhook import TEMPLATES, UID, patched, pod, review
from trustkit.client.enforce import Verdict
from trustkit.client.verify import Trusted
from trustkit.core.familiar import familiar
from trustkit.errors import Malformed, TimedOut, TooLarge, Unsigned
from trustkit.hooks.admission import Phase, Result, answer
from trustkit.hooks.admission_review import MAX_BODY, MAX_IMAGES, WORKLOADS, Review, Unreadable, parse, read

APP = "registry.example.com/app:v1"
DIGEST = "sha256:" + "ab" * 32
Json = dict[str, Any]


def texts(found: Review) -> list[str]:
    return [image.text for image in found.images]


def verdict(text: str, *, allowed: bool = True, detected: bool = False) -> Verdict:
    ref = familiar(text)
    error = None if allowed and not detected else Unsigned(f"{ref} is not signed.", hint="Sign it.")
    pinned = ref if detected else familiar(f"{ref.gun}:{ref.tag}@{DIGEST}")
    return Verdict(ref, allowed, "registry.example.com/*", image=pinned if allowed else None, error=error)


def answered(asked: Json, phase: Phase = Phase.MUTATE, *, detect: bool = False, **verdicts: Verdict) -> Json:
    found = read(asked)
    findings = {image: verdicts.get(image.container.split()[1]) or verdict(image.text) for image in found.images}
    response: Json = json.loads(answer(found, findings, phase=phase, detect=detect).body)["response"]
    assert response["uid"] == UID
    return response


def test_every_place_of_a_pod_that_names_an_image_is_judged_and_patched():
    spec = pod("a.example/a:1", "alpine", initContainers=["b.example/b:1"], ephemeralContainers=["c.example/c:1"])
    spec["volumes"] = [{"name": "none", "emptyDir": {}}, {"name": "data", "image": {"reference": "d.example/d:1"}}]
    asked = review("Pod", spec)
    assert sorted(texts(read(asked))) == [
        "a.example/a:1",
        "alpine",
        "b.example/b:1",
        "c.example/c:1",
        "d.example/d:1",
    ]
    done = patched(asked, answered(asked))["spec"]
    assert [each["image"] for each in done["containers"]] == [
        f"a.example/a:1@{DIGEST}",
        f"docker.io/library/alpine:latest@{DIGEST}",
    ]
    assert done["initContainers"] == [{"name": "i0", "image": f"b.example/b:1@{DIGEST}"}]
    assert done["ephemeralContainers"] == [{"name": "e0", "image": f"c.example/c:1@{DIGEST}"}]
    assert done["volumes"][1]["image"] == {"reference": f"d.example/d:1@{DIGEST}"}
    assert done["volumes"][0] == spec["volumes"][0]


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("phase", Phase)
def test_a_template_is_judged_and_never_patched(kind: str, phase: Phase):
    group, wrap = TEMPLATES[kind]
    asked = review(kind, wrap(pod(APP, initContainers=["b.example/b:1"])), group=group)
    assert sorted(texts(read(asked))) == ["b.example/b:1", APP]
    assert answered(asked, phase) == {"uid": UID, "allowed": True}
    refused = answered(asked, phase, c0=verdict(APP, allowed=False))
    assert (refused["allowed"], refused["status"]["code"]) == (False, 403)
    assert "patch" not in refused


def test_the_table_of_kinds_and_the_tests_have_the_same_kinds():
    assert {each.kind for each in WORKLOADS} == {"Pod", *TEMPLATES}


def test_what_is_refused_names_image_rule_cause_and_next_step():
    response = answered(review("Pod", pod(APP, "b.example/b:1")), c0=verdict(APP, allowed=False))
    message = response["status"]["message"]
    assert (response["allowed"], response["status"]["code"]) == (False, 403)
    for part in (APP, "registry.example.com/*", "is not signed. [unsigned]", "Sign it."):
        assert part in message
    assert "b.example" not in message
    assert response["auditAnnotations"]["refused"] == message


SKIPS = {
    "an unchanged image": (review("Pod", pod(APP), old=pod(APP)), "the image is what it was"),
    "a template's unchanged image": (
        review(
            "Deployment", TEMPLATES["Deployment"][1](pod(APP)), old=TEMPLATES["Deployment"][1](pod(APP)), group="apps"
        ),
        "the image is what it was",
    ),
    "an object that is being deleted": (
        review("Pod", pod(APP), old=pod("b.example/b:1"), old_metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        "being deleted",
    ),
    "a deletion": (review("Pod", pod(APP), operation="DELETE"), "DELETE names no image"),
    "an exec": (review("Pod", pod(APP), operation="CONNECT", subresource="exec"), "CONNECT names no image"),
    "a status": (review("Pod", pod(APP), old=pod("b.example/b"), subresource="status"), "the subresource status"),
    "an exempt namespace": (review("Pod", pod(APP), namespace="kube-system"), "kube-system is exempt"),
    "a static pod's mirror": (
        review(
            "Pod",
            {**pod(APP), "nodeName": "n1"},
            metadata={"annotations": {"kubernetes.io/config.mirror": "x"}},
            user={"username": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]},
        ),
        "its node runs it already",
    ),
    "a template without images": (review("Job", TEMPLATES["Job"][1]({}), group="batch"), "names no image"),
    "a template whose image is to come": (
        review("Job", TEMPLATES["Job"][1]({"containers": [{"name": "c"}]}), group="batch"),
        "the template names no image",
    ),
}


@pytest.mark.parametrize("case", SKIPS)
def test_what_is_skipped_says_why(case: str):
    asked, why = SKIPS[case]
    found = read(asked, exempt=["kube-system"])
    assert found.images == ()
    done = answer(found, {}, phase=Phase.MUTATE)
    response = json.loads(done.body)["response"]
    assert (response["allowed"], done.result, "patch" in response) == (True, Result.SKIPPED, False)
    assert why in response["auditAnnotations"]["skipped"]


MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}}
NOT_SKIPPED = {
    # Each is what somebody would write to get past the webhook.
    "a deletion time in a new object": review("Pod", pod(APP), metadata={"deletionTimestamp": "2026-01-01"}),
    "a deletion time that only the new object has": review(
        "Pod", pod(APP), old=pod("b.example/b"), metadata={"deletionTimestamp": "2026-01-01"}, old_metadata={"a": 1}
    ),
    "a mirror by a person": review("Pod", {**pod(APP), "nodeName": "n1"}, metadata=MIRROR),
    "a mirror on another node": review(
        "Pod",
        {**pod(APP), "nodeName": "n2"},
        metadata=MIRROR,
        user={"username": "system:node:n1", "groups": ["system:nodes"]},
    ),
    "a mirror on no node": review(
        "Pod", pod(APP), metadata=MIRROR, user={"username": "system:node:n1", "groups": ["system:nodes"]}
    ),
    "a node without its group": review(
        "Pod", {**pod(APP), "nodeName": "n1"}, metadata=MIRROR, user={"username": "system:node:n1", "groups": []}
    ),
    "an exempt namespace in the object alone": review("Pod", pod(APP), metadata={"namespace": "kube-system"}),
    "an old object in a creation": review("Pod", pod(APP), old=pod(APP), operation="CREATE"),
    "the image of another container": review(
        "Pod", pod("b.example/b:1", APP), old=pod(APP, "b.example/b:1")
    ),
    "the image of a container of another kind": review(
        "Pod", pod("b.example/b:1", initContainers=[APP]), old={"containers": [{"name": "i0", "image": APP}]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_SKIPPED)
def test_what_is_not_skipped(case: str):
    assert APP in texts(read(NOT_SKIPPED[case], exempt=["kube-system"]))


def test_of_ephemeral_containers_only_new_ones_are_judged_and_patched():
    old = pod("b.example/b:1", ephemeralContainers=["c.example/c:1"])
    new = pod("b.example/b:1", ephemeralContainers=["c.example/c:1", APP])
    asked = review("Pod", new, old=old, subresource="ephemeralcontainers")
    assert texts(read(asked)) == [APP]
    done = patched(asked, answered(asked))["spec"]
    assert [each["image"] for each in done["ephemeralContainers"]] == ["c.example/c:1", f"{APP}@{DIGEST}"]
    assert done["containers"] == old["containers"]


def test_detection_refuses_and_changes_nothing_and_warns():
    asked = review("Pod", pod(APP, "b.example/b:1"))
    response = answered(asked, detect=True, c0=verdict(APP, allowed=False))
    assert (response["allowed"], "patch" in response) == (True, False)
    assert [APP in warning for warning in response["warnings"]] == [True]
    assert "is not signed" in response["auditAnnotations"]["detected"]


def test_a_rule_that_detects_warns_and_others_are_pinned():
    asked = review("Pod", pod(APP, "b.example/b:1"))
    response = answered(asked, c0=verdict(APP, detected=True))
    assert "would be refused" in response["warnings"][0]
    done = patched(asked, response)["spec"]["containers"]
    assert [each["image"] for each in done] == [APP, f"b.example/b:1@{DIGEST}"]


def test_thousands_of_refusals_make_a_bounded_answer():
    asked = review("Pod", pod(*["x" * 200 + "/../" + "y" * 4000] * 900))
    found = read(asked)
    error = TimedOut("There was no answer in time.")
    done = answer(found, dict.fromkeys(found.images, error), phase=Phase.MUTATE)
    assert len(done.body) < 64 * 1024
    assert "and 880 more" in json.loads(done.body)["response"]["status"]["message"]


def request(**members: object) -> Json:
    asked = review("Pod", pod(APP))
    asked["request"].update(members)
    return asked


NO_REVIEWS: dict[str, Json] = {
    "nothing": {},
    "v1beta1": {**review("Pod", {}), "apiVersion": "admission.k8s.io/v1beta1"},
    "another kind": {**review("Pod", {}), "kind": "Pod"},
    "no request": {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"},
    "a list as request": {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": []},
    "no uid": request(uid=None),
    "a number as uid": request(uid=7),
    "an empty uid": request(uid=""),
    "a long uid": request(uid="u" * 257),
}


@pytest.mark.parametrize("case", NO_REVIEWS)
def test_what_is_no_review(case: str):
    with pytest.raises(Malformed) as caught:
        read(NO_REVIEWS[case])
    assert not isinstance(caught.value, Unreadable)


UNREADABLE = {
    "an operation of nobody's": request(operation="PATCH"),
    "no operation": request(operation=None),
    "a kind that isn't ours": request(kind={"group": "", "version": "v1", "kind": "ConfigMap"}),
    "a kind of another group": request(kind={"group": "apps.example.com", "version": "v1", "kind": "Pod"}),
    "a kind of another version": request(kind={"group": "apps", "version": "v1beta1", "kind": "Deployment"}),
    "a kind that is a list": request(kind={"group": [], "version": {}, "kind": "Pod"}),
    "a kind that is a text": request(kind="Pod"),
    "an unknown subresource": request(subResource="images"),
    "a subresource that is a list": request(subResource=[1]),
    "ephemeral containers of a Deployment": {
        **review("Deployment", TEMPLATES["Deployment"][1](pod(APP)), group="apps", subresource="ephemeralcontainers")
    },
    "an object that is a list": request(object=[]),
    "no object": request(object=None),
    "a Pod without containers": request(object={"spec": {"containers": []}}),
    "a spec that is a text": request(object={"spec": "x"}),
    "containers that are an object": request(object={"spec": {"containers": {"a": 1}}}),
    "a container that is a text": request(object={"spec": {"containers": ["x"]}}),
    "an image that is a number": request(object={"spec": {"containers": [{"name": "c", "image": 7}]}}),
    "a container without an image": request(object={"spec": {"containers": [{"name": "c"}]}}),
    "an empty image": request(object={"spec": {"containers": [{"name": "c", "image": ""}]}}),
    "an image volume that is a text": request(object={"spec": {"volumes": [{"name": "v", "image": "x"}]}}),
    "an image volume without reference": request(object={"spec": {"volumes": [{"name": "v", "image": {}}]}}),
    "more images than anybody has": request(object={"spec": pod(*[APP] * (MAX_IMAGES + 1))}),
    "an old object that is a text": request(operation="UPDATE", oldObject="x"),
    "metadata that is a list": request(object={"metadata": [], "spec": pod(APP)}),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_judged_has_its_uid(case: str):
    with pytest.raises(Unreadable) as caught:
        read(UNREADABLE[case])
    assert caught.value.uid == UID


BODIES: dict[str, tuple[bytes, type[Exception], str]] = {
    "nothing": (b"", Malformed, "not JSON"),
    "no JSON": (b"<html>", Malformed, "not JSON"),
    "no UTF-8": (b'{"a":"\xff"}', Malformed, "not JSON"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), Malformed, "not JSON"),
    "a list": (b"[]", Malformed, "not a JSON object"),
    "a member twice": (b'{"request":{"uid":"a","uid":"b"}}', Malformed, "a member stands twice"),
    "NaN": (b'{"a":NaN}', Malformed, "NaN is no number"),
    "an endless number": (b'{"a":' + b"9" * 10_000 + b"}", Malformed, "not JSON"),
    "deep": (b'{"a":' + b"[" * 100_000, TooLarge, "64 levels"),
    "deep behind a quote": (b'{"\\"":' + b"[" * 65 + b"]" * 65 + b"}", TooLarge, "64 levels"),
    "too long": (b" " * (MAX_BODY + 1), TooLarge, "the limit is"),
    "a million entries": (
        json.dumps({"request": {"object": ["x"] * 1_000_000}}).encode(),
        TooLarge,
        "500000 entries",
    ),
    "a million members": (b'{"a":{' + b",".join(b'"%d":{}' % n for n in range(600_000)) + b"}}", TooLarge, "entries"),
}


@pytest.mark.parametrize("case", BODIES)
def test_bodies_that_are_none_are_refused_soon(case: str):
    body, kind, words = BODIES[case]
    began = time.thread_time()
    with pytest.raises(kind, match=words):
        parse(body)
    assert time.thread_time() - began < 2


def test_what_an_api_server_sends_is_read():
    asked = review("Pod", pod(APP), metadata={"annotations": {"näme": "ü \U0001f600", "quote": 'a"b\\'}})
    asked["request"]["options"] = {"gracePeriodSeconds": 1.5, "big": 2**63}
    assert parse(json.dumps(asked, ensure_ascii=False).encode()) == asked
    assert texts(read(parse(json.dumps(asked).encode()))) == [APP]


def test_after_every_webhook_a_signed_tag_alone_is_not_enough():
    ref = familiar(APP)
    pinned = familiar(f"{APP}@{DIGEST}")
    trusted = object.__new__(Trusted)  # that there is one is all that counts here
    found = Verdict(ref, True, "*", image=pinned, trusted=trusted)
    asked = review("Pod", pod(APP))
    refused = answered(asked, Phase.VALIDATE, c0=found)
    assert "names no digest" in refused["status"]["message"]
    assert answered(asked, Phase.MUTATE, c0=found)["allowed"]
    by_digest = Verdict(pinned, True, "*", image=pinned, trusted=trusted)
    assert answered(review("Pod", pod(str(pinned))), Phase.VALIDATE, c0=by_digest) == {"uid": UID, "allowed": True}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([APP, "Pod", "UPDATE", "", "apps"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "image"]), inner),
    max_leaves=5,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every member below a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, each in inner for way in ((*path, key), *places(each, (*path, key)))]


FULL = review(
    "Pod",
    {**pod(APP, initContainers=[APP]), "volumes": [{"name": "v", "image": {"reference": APP}}], "nodeName": "n"},
    old=pod("b.example/b:1"),
    metadata={"annotations": {"kubernetes.io/config.mirror": "x"}},
    user={"username": "system:node:m", "groups": ["system:nodes"]},
)


@given(place=st.sampled_from(places(FULL)), value=JSON)
def test_whatever_stands_anywhere_a_review_is_read_or_refused(place: tuple[str | int, ...], value: object):
    asked: Any = copy.deepcopy(FULL)
    holder = asked
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    try:
        found = read(asked, exempt=["kube-system"])
    except Malformed:
        return
    assert found.uid
    assert found.images or found.skipped, "what is let through without a look says why"
