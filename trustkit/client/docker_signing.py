"""Which of the keys that are here sign what, in format ``docker``; and the certificates of new root keys."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import Signer

from trustkit.client.holding import lacking, usable
from trustkit.core.formats.docker.certificates import root_certificate, self_signed
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.files import sign
from trustkit.core.formats.docker.keys import DockerKey, canonical_ids, from_certificates, key_of
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.errors import KeyMissing, KeyUnsupported

SNAPSHOT = "snapshot"


class DockerSigning:
    """Signs with the keys of one store, which has them by the ids of bare keys."""

    def __init__(self, keys: KeyStore) -> None:
        self.keys = keys

    def holds(self, role: str, keys: Iterable[DockerKey]) -> bool:
        """Whether one of these keys, which may sign a role, is here."""
        return bool(self.here(role, keys))

    def here(self, role: str, keys: Iterable[DockerKey]) -> list[KeyInfo]:
        """Those of these keys that are here and kept for the role."""
        ids = canonical_ids(keys)
        if role == SNAPSHOT:
            return [info for info in self.keys.find(ids) if info.role is KeyRole.SNAPSHOT]
        return usable(self.keys, role, ids)

    def require(self, draft: DockerDraft) -> None:
        """Before a passphrase is asked for: every changed file can be signed; raises KeyMissing, WrongKeyRole."""
        for role in sorted(draft.changed):
            if role == "root":
                self._enough(draft, role, self._former_root(draft), draft.before.signed.roles["root"].threshold)
            self._enough(draft, role, draft.keys(role), draft.threshold(role))

    def __call__(self, draft: DockerDraft) -> dict[str, bytes]:
        """The changed files, signed; raises as ``require``, and as ``KeyStore.unlock``."""
        self.require(draft)
        return {role: self._signed(draft, role) for role in sorted(draft.changed)}

    def snapshot(self, draft: DockerDraft, files: dict[str, bytes], until: datetime | None = None) -> bytes:
        """The next snapshot, signed by its key, which is here; it lives until a moment, or as usual."""
        infos = self.here(SNAPSHOT, draft.keys(SNAPSHOT))[: draft.threshold(SNAPSHOT)]
        made = draft.snapshot(files)
        made.expires = until or made.expires
        return sign(made, self._pairs(draft.keys(SNAPSHOT), infos))

    def certificate(self, gun: Gun, info: KeyInfo, now: datetime) -> DockerKey:
        """A new certificate of a root key for a collection, signed by the key itself, as Notary makes one.

        Raises:
            KeyUnsupported: it isn't ECDSA on P-256; and as ``KeyStore.unlock``.
        """
        signer = self.keys.unlock(info)
        public = self.opened(info)
        if not isinstance(public.loaded, ec.EllipticCurvePublicKey) or not self.certifies(info):
            raise KeyUnsupported(
                f"The root key {info.id[:16]} is not ECDSA on P-256; in format docker a new root key has to be.",
                hint="Make one: trustkit key generate --role root --algorithm ecdsa-p256",
            )
        made = root_certificate(gun, public.loaded, now=now, serial=secrets.randbits(126) + 1)
        return from_certificates([self_signed(made, lambda body: bytes.fromhex(signer.sign(body).signature))])

    def certifies(self, info: KeyInfo) -> bool:
        """Whether a root key can sign a certificate of its own; of one that is closed it isn't known, and so said."""
        (found,) = self.keys.find(frozenset({info.id}))
        loaded = found.public.loaded if isinstance(found.public, DockerKey) else None
        return loaded is None or (
            isinstance(loaded, ec.EllipticCurvePublicKey) and isinstance(loaded.curve, ec.SECP256R1)
        )

    def opened(self, info: KeyInfo) -> DockerKey:
        """The public half of a key that was unlocked."""
        (found,) = self.keys.find(frozenset({info.id}))
        return key_of(found.public)

    def _former_root(self, draft: DockerDraft) -> list[DockerKey]:
        root = draft.before.signed
        return [key_of(root.keys[key_id]) for key_id in root.roles["root"].keyids]

    def _signed(self, draft: DockerDraft, role: str) -> bytes:
        if role == "root":
            keys = {key.keyid: key for key in (*self._former_root(draft), *draft.keys(role))}
            return sign(draft.root, self._pairs(list(keys.values()), self.here(role, keys.values())))
        infos = self.here(role, draft.keys(role))[: draft.threshold(role)]
        return sign(draft.files[role], self._pairs(draft.keys(role), infos))

    def _pairs(self, keys: Collection[DockerKey], infos: Iterable[KeyInfo]) -> list[tuple[DockerKey, Signer]]:
        signers = {info.id: self.keys.unlock(info) for info in infos}
        return [(key, signers[key.canonical_id]) for key in keys if key.canonical_id in signers]

    def _enough(self, draft: DockerDraft, role: str, keys: Collection[DockerKey], threshold: int) -> None:
        if len(self.here(role, keys)) >= threshold:
            return
        ids = sorted(canonical_ids(keys))
        what = f"Signing {role} of {draft.gun} takes {threshold} of its keys"
        if not ids:
            raise KeyMissing(f"{what}, and it has none.", role=role)
        raise lacking(
            self.keys,
            role,
            ids,
            what,
            hint="Bring the key here (trustkit key import --docker DIR), name its folder with --trust-dir, or have "
            "its holder do it.",
        )
