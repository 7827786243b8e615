"""What the API server asks: an AdmissionReview (admission.k8s.io/v1), and the images that its object would start.

Pure: bytes in; a question with JSON pointers, or an error, out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trustkit.core.strictjson import check_depth, unique
from trustkit.errors import Malformed, TooLarge

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
MAX_BODY = 8 * 1024 * 1024
"""Bytes.  The largest object that etcd takes has 1.5 MiB, and a review holds two of them."""
MAX_ENTRIES = 500_000
"""Commas and opening brackets: what makes parsing slow and its result large."""
MAX_DEPTH = 64
MAX_IMAGES = 1000
"""Places in one object that name an image, whether they have changed or not."""
MAX_UID = 256

_MIRROR = "kubernetes.io/config.mirror"
_LISTS = ("initContainers", "containers", "ephemeralContainers")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of object that starts containers.

    Attributes:
        resource: as webhook rules name it.
        template: the way to the PodSpec.
    """

    group: str
    version: str
    kind: str
    resource: str
    template: tuple[str, ...]


_OF_A_TEMPLATE = ("spec", "template", "spec")
POD = Workload("", "v1", "Pod", "pods", ("spec",))
WORKLOADS = (
    POD,
    Workload("", "v1", "PodTemplate", "podtemplates", ("template", "spec")),
    Workload("", "v1", "ReplicationController", "replicationcontrollers", _OF_A_TEMPLATE),
    Workload("apps", "v1", "Deployment", "deployments", _OF_A_TEMPLATE),
    Workload("apps", "v1", "ReplicaSet", "replicasets", _OF_A_TEMPLATE),
    Workload("apps", "v1", "StatefulSet", "statefulsets", _OF_A_TEMPLATE),
    Workload("apps", "v1", "DaemonSet", "daemonsets", _OF_A_TEMPLATE),
    Workload("batch", "v1", "Job", "jobs", _OF_A_TEMPLATE),
    Workload("batch", "v1", "CronJob", "cronjobs", ("spec", "jobTemplate", *_OF_A_TEMPLATE)),
)
EPHEMERAL = "ephemeralcontainers"
OPERATIONS = ("CREATE", "UPDATE")
HARMLESS = frozenset(
    {"status", "scale", "binding", "eviction", "resize", "exec", "attach", "portforward", "proxy", "log", "token"}
)
"""Subresources through which no image can be named."""


@dataclass(frozen=True, slots=True)
class Image:
    """A place that names an image.

    Attributes:
        pointer: where it stands in the object (RFC 6901).
        container: kind and name, for people.
        text: the image's name as it stands there.
    """

    pointer: str
    container: str
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """One question.

    Attributes:
        uid: what the answer has to repeat.
        subject: kind and name of the object, for people.
        pod: whether its images can be replaced: those of a template are left to its owner.
        images: what has to be judged; empty where all of it was skipped.
        skipped: what isn't judged, and why.
    """

    uid: str
    subject: str
    pod: bool = False
    images: tuple[Image, ...] = ()
    skipped: tuple[str, ...] = ()


class Unreadable(Malformed):
    """A review that says who asks, and nothing that can be judged: it is answered with a refusal.

    Attributes:
        uid: what the answer has to repeat.
    """

    def __init__(self, uid: str, message: str) -> None:
        super().__init__(message, hint="Correct the object, or the webhook's rules.")
        self.uid = uid


def parse(body: bytes) -> Json:
    """The JSON object of a request's body.

    Raises:
        TooLarge: over 8 MiB, 64 levels or 500,000 entries.
        Malformed: no JSON object in UTF-8, a member twice, NaN or Infinity.
    """
    if len(body) > MAX_BODY:
        raise TooLarge(f"The review has {len(body)} bytes; the limit is {MAX_BODY}.")
    if sum(map(body.count, (b",", b"{", b"["))) > MAX_ENTRIES:
        raise TooLarge(f"The review has more than {MAX_ENTRIES} entries.")
    check_depth(body, "The review", MAX_DEPTH)
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The review is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Malformed("The review is not a JSON object.")
    return value


def read(review: Json, exempt: Collection[str] = ()) -> Review:
    """What a review asks.

    Args:
        exempt: namespaces in which nothing is judged.

    Raises:
        Malformed: no AdmissionReview of version v1 with a request that has a uid.
        Unreadable: one whose object can't be judged.
    """
    if review.get("apiVersion") != API_VERSION or review.get("kind") != KIND:
        raise Malformed(
            f"This is no {KIND} of {API_VERSION}.", hint='Set admissionReviewVersions: ["v1"] in the webhook.'
        )
    request = review.get("request")
    uid = request.get("uid") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(uid, str) or not 0 < len(uid) <= MAX_UID:
        raise Malformed("The review has no request with a uid, or it is no string of at most 256 characters.")
    try:
        return _read(request, uid, exempt)
    except Malformed as error:
        raise Unreadable(uid, error.message) from error


def _read(request: Json, uid: str, exempt: Collection[str]) -> Review:
    kind, name = _object(request, "kind"), request.get("name") or "(unnamed)"
    namespace, subresource = request.get("namespace"), request.get("subResource") or ""
    subject = f"{_cut(kind.get('kind'))} {_cut(namespace)}/{_cut(name)}"
    operation = request.get("operation")
    if not isinstance(subresource, str):
        raise Malformed("subResource is no string.")

    def skip(why: str) -> Review:
        return Review(uid, subject, skipped=(why,))

    if operation in ("DELETE", "CONNECT"):
        return skip(f"{operation} names no image")
    if operation not in OPERATIONS:
        raise Malformed(f"The operation {_cut(operation)} is none of CREATE, UPDATE, DELETE and CONNECT.")
    if isinstance(namespace, str) and namespace in exempt:
        return skip(f"the namespace {namespace} is exempt")
    if subresource in HARMLESS:
        return skip(f"no image can be named through the subresource {subresource}")
    key = kind.get("group"), kind.get("version"), kind.get("kind")
    workload = next((each for each in WORKLOADS if (each.group, each.version, each.kind) == key), None)
    if workload is None or (subresource and (workload, subresource) != (POD, EPHEMERAL)):
        raise Malformed(f"{'/'.join(map(_cut, key))} {_cut(subresource)} is nothing that is judged here.")
    wanted = _object(request, "object")
    before = _object(request, "oldObject") if operation == "UPDATE" else {}
    if _object(before, "metadata").get("deletionTimestamp") is not None:
        return skip("the object is being deleted")
    if workload is POD and _is_mirror(request, wanted):
        return skip("a static pod's mirror: its node runs it already")
    return _compared(Review(uid, subject, pod=workload is POD), workload, before, wanted)


def _compared(empty: Review, workload: Workload, before: Json, wanted: Json) -> Review:
    """The images that are named now and weren't at the same place before."""
    known = {(image.container, image.text) for image in _images(before, workload)}
    images, skipped = [], []
    for count, image in enumerate(_images(wanted, workload)):
        if count >= MAX_IMAGES:
            raise Malformed(f"{empty.subject} names more than {MAX_IMAGES} images.")
        if (image.container, image.text) in known:
            skipped.append(f"{image.container}: the image is what it was")
        elif image.text:
            images.append(image)
        elif empty.pod:
            raise Malformed(f"{image.container} of {empty.subject} names no image.")
        else:
            skipped.append(f"{image.container}: the template names no image")
    if not images and not skipped:
        if empty.pod:
            raise Malformed(f"{empty.subject} has no container.")
        skipped.append("the template names no image")
    return Review(empty.uid, empty.subject, empty.pod, tuple(images), tuple(skipped))


def _images(value: Json, workload: Workload) -> Iterator[Image]:
    for step in workload.template:
        value = _object(value, step)
    path = f"/{'/'.join(workload.template)}"
    for kind in _LISTS:
        for index, container in enumerate(_objects(value, kind)):
            yield _image(f"{path}/{kind}/{index}/image", kind, container.get("name"), container.get("image"))
    for index, volume in enumerate(_objects(value, "volumes")):
        if volume.get("image") is not None:
            reference = _object(volume, "image").get("reference")
            yield _image(f"{path}/volumes/{index}/image/reference", "volumes", volume.get("name"), reference)


def _image(pointer: str, kind: str, name: object, text: object) -> Image:
    if text is not None and not isinstance(text, str):
        raise Malformed(f"{pointer} is no string.")
    return Image(pointer, f"{kind} {_cut(name)}", text or "")


def _is_mirror(request: Json, pod: Json) -> bool:
    """Whether a kubelet shows a static pod of its own node; nobody else's word for it counts."""
    user = _object(request, "userInfo")
    annotations = _object(_object(pod, "metadata"), "annotations")
    groups, node = user.get("groups"), _object(pod, "spec").get("nodeName")
    return (
        _MIRROR in annotations
        and isinstance(groups, list)
        and "system:nodes" in groups
        and isinstance(node, str)
        and user.get("username") == f"system:node:{node}"
    )


def _object(value: Json, name: str) -> Json:
    """A member that is an object; an empty one where it isn't there."""
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Malformed(f"{name} is no object.")
    return found


def _objects(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Malformed(f"{name} is no list of objects.")
    return found


def _cut(value: object) -> str:
    """Something that should be a short name, for people and on one line."""
    text = value if isinstance(value, str) else "-" if value is None else json.dumps(value)[:64]
    return text if text.isascii() and text.isprintable() and len(text) <= 253 else ascii(text[:100])


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number")
