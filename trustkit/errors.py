"""Everything that can go wrong, as one tree.

A family is a way to recover, a leaf is one cause with a stable slug.  The slug is what programs match on: it is
in JSON output, in the service's error bodies and in the reference.  Nothing here prints or exits; the exit status
of a family is in ``trustkit.cli.status``, the HTTP status of a leaf in ``trustkit.server.problems``.

    TrustkitError
    +-- UsageError                   ask for something else
    |   +-- InvalidName, InvalidReference, InvalidSetting
    +-- Failed                       the machine, not the trust: mend it and try again
    |   +-- StateError, DatabaseUnavailable, OutcomeUnknown, EngineFailed, RegistryFailed, NotFound, Conflict,
    |       ProposalOpen, InUse, BuildFileInvalid, CannotPin, WrongFormat
    +-- Rejected                     the judge refuses an upload: correct it
    |   +-- Malformed, TooLarge, BadSignature, BadVersion, BadExpiry, BadKeys, BadDelegation,
    |       WrongOnlineKeys, WrongGun, BadTarget, NameTaken, FounderNotAllowed, BadCeremony, ProposalStale,
    |       SignerBehind
    +-- NotTrusted                   don't use the image
    |   +-- Unsigned, NoCollection, CollectionReset, Expired, NoPin, WrongRoot, RolledBack, DigestMismatch,
    |   |   WrongCollection, SignatureInvalid, TagMoved, SignersMissing, PolicyDenies, NotPinned,
    |   |   TooOld, ClockBehind, FormatDowngraded, Converted
    |   +-- CouldNotCheck            don't use the image *and* find out why; never "unsigned"
    |       +-- Unreachable, ProxyFailed, TimedOut, Garbage, ServerFailed, TrustDisabled, CollectionGone, BadBundle
    +-- NotAllowed                   log in, or ask for the role
    |   +-- LoginRequired, RoleMissing, RateLimited, ConsentMissing
    +-- KeyProblem                   find the key or its passphrase
        +-- KeyMissing, WrongKeyRole, KeyExists, KeyFileInvalid, WrongPassphrase, NoPassphrase, WeakPassphrase,
            KeyUnsupported, KeyUnavailable
"""

from __future__ import annotations

from typing import ClassVar


class TrustkitError(Exception):
    """A refusal or failure that a person can act on.

    Args:
        message: what is wrong, in one sentence, naming the thing it is about.
        hint: the next step, one sentence; empty where the message says it all.
        context: facts for programs (never a secret); JSON-serialisable.
    """

    slug: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}  {self.hint}" if self.hint else self.message


class UsageError(TrustkitError):
    """What was asked can't be asked like this."""

    slug = "usage"


class InvalidName(UsageError):
    """A GUN, host, repository, tag, digest, role or signer name breaks the grammar."""

    slug = "invalid-name"


class InvalidReference(UsageError):
    """An image reference can't be read, or lacks the part that the command needs."""

    slug = "invalid-reference"


class InvalidSetting(UsageError):
    """A setting from a file, the environment or a flag has no meaning."""

    slug = "invalid-setting"


class Failed(TrustkitError):
    """Something other than trust failed."""

    slug = "failed"


class StateError(Failed):
    """A file or folder of ours is missing, damaged or not ours to use."""

    slug = "state"


class DatabaseUnavailable(StateError):
    """The service's database can't be reached, or is too busy, for now; nothing was changed."""

    slug = "database-unavailable"


class OutcomeUnknown(StateError):
    """The connection broke while the database was told to keep a change: it is there, or it isn't."""

    slug = "outcome-unknown"


class EngineFailed(Failed):
    """A container engine or tool refused to do what it was told."""

    slug = "engine-failed"


class RegistryFailed(Failed):
    """The registry answered something that can't be used."""

    slug = "registry-failed"


class NotFound(Failed):
    """A manifest, blob, principal, key or route that was named isn't there."""

    slug = "not-found"


class Conflict(Failed):
    """Somebody else changed it first, or it exists already.  Versions and names are in the context."""

    slug = "conflict"


class ProposalOpen(Failed):
    """A proposal has this role: approve it or drop it first.  Its id and the role are in the context."""

    slug = "proposal-open"


class InUse(Failed):
    """A manifest or blob can't be deleted: a signed tag needs it, or it is superseded and may still be pulled."""

    slug = "in-use"


class BuildFileInvalid(Failed):
    """A Dockerfile, compose file or Kubernetes manifest can't be read.  File and line are in the context."""

    slug = "build-file-invalid"


class CannotPin(Failed):
    """A digest can't be written where a file names an image without changing something else."""

    slug = "cannot-pin"


class WrongFormat(Failed):
    """The collection's format is one that this command can't do.  The format is in the context."""

    slug = "wrong-format"


class Rejected(TrustkitError):
    """The service refuses an upload; nothing was changed."""

    slug = "rejected"


class Malformed(Rejected):
    """Not the canonical compact serialisation of what it says (TRUST 3.2)."""

    slug = "malformed"


class TooLarge(Rejected):
    """Over a limit on size, depth or number."""

    slug = "too-large"


class BadSignature(Rejected):
    """Signatures don't meet a threshold."""

    slug = "bad-signature"


class BadVersion(Rejected):
    """A version that isn't the stored one plus one, or is out of range."""

    slug = "bad-version"


class BadExpiry(Rejected):
    """An expiry outside the operator's bounds."""

    slug = "bad-expiry"


class BadKeys(Rejected):
    """Keys or thresholds against TRUST 2."""

    slug = "bad-keys"


class BadDelegation(Rejected):
    """Delegations against TRUST 4."""

    slug = "bad-delegation"


class WrongOnlineKeys(Rejected):
    """The root doesn't name exactly the service's online keys."""

    slug = "wrong-online-keys"


class WrongGun(Rejected):
    """A file that doesn't name this collection (TRUST 1.3)."""

    slug = "wrong-gun"


class BadTarget(Rejected):
    """A target that no tag and manifest can have, or that the registry doesn't hold."""

    slug = "bad-target"


class NameTaken(Rejected):
    """The repository has a collection under another of the service's names (TRUST 1.1)."""

    slug = "name-taken"


class ProposalStale(Rejected):
    """What was proposed can't follow the current state any more: drop it and propose anew."""

    slug = "proposal-stale"


class SignerBehind(Rejected):
    """A separate signer has signed less than its service has stored: its database is an older copy, or a new one."""

    slug = "signer-behind"


class FounderNotAllowed(Rejected):
    """The operator's list doesn't let this root key found a collection here (TRUST 3.8)."""

    slug = "founder-not-allowed"


class BadCeremony(Rejected):
    """A root ceremony's file that may not be signed or published: damaged, tampered with, or not what it shows."""

    slug = "bad-ceremony"


class NotTrusted(TrustkitError):
    """The reference must not be used."""

    slug = "not-trusted"


class Unsigned(NotTrusted):
    """The collection exists and does not sign this tag (never signed, or revoked)."""

    slug = "unsigned"


class NoCollection(NotTrusted):
    """The service itself says that nothing is signed under this name (TRUST 6.4)."""

    slug = "no-collection"


class CollectionReset(NoCollection):
    """An Owner reset or deleted the collection, and nobody has founded it anew yet (TRUST 3.5)."""

    slug = "collection-reset"


class Expired(NotTrusted):
    """A role's metadata is past its expiry."""

    slug = "expired"


class NoPin(NotTrusted):
    """Nothing says which root to accept here (TRUST 5.3)."""

    slug = "no-pin"


class WrongRoot(NotTrusted):
    """The served root isn't the pinned one."""

    slug = "wrong-root"


class RolledBack(NotTrusted):
    """A version lower than one that was seen."""

    slug = "rolled-back"


class DigestMismatch(NotTrusted):
    """Bytes whose digest or length is not the one that was signed or asked for."""

    slug = "digest-mismatch"


class WrongCollection(NotTrusted):
    """A validly signed file of another collection (TRUST 1.3)."""

    slug = "wrong-collection"


class SignatureInvalid(NotTrusted):
    """Signatures don't meet the threshold."""

    slug = "signature-invalid"


class TagMoved(NotTrusted):
    """The tag no longer is what was named or shown."""

    slug = "tag-moved"


class SignersMissing(NotTrusted):
    """It is signed, and not by the signers that the consumer's policy demands."""

    slug = "signers-missing"


class PolicyDenies(NotTrusted):
    """The consumer's policy doesn't take it, signed or not."""

    slug = "policy-denies"


class NotPinned(NotTrusted):
    """A file names an image by another digest than the signed one, or by none."""

    slug = "not-pinned"


class TooOld(NotTrusted):
    """Signed longer ago than the consumer allows without a network."""

    slug = "too-old"


class ClockBehind(NotTrusted):
    """This machine's clock is before the moment when what it holds was signed."""

    slug = "clock-behind"


class FormatDowngraded(NotTrusted):
    """A collection that was seen in format ``tuf`` is asked for in an older one (TRUST 5.4)."""

    slug = "format-downgraded"


class Converted(NotTrusted):
    """A collection became one in format ``tuf``, and the pin in format ``docker`` doesn't follow by itself."""

    slug = "converted"


class CouldNotCheck(NotTrusted):
    """No verdict: not trusted, and not known to be unsigned either."""

    slug = "could-not-check"


class Unreachable(CouldNotCheck):
    """No connection, or no TLS connection that can be believed."""

    slug = "unreachable"


class ProxyFailed(Unreachable):
    """The proxy that the environment names can't be reached, wants a login, or doesn't lead there."""

    slug = "proxy-failed"


class TimedOut(CouldNotCheck):
    """Past the total deadline, or slower than the smallest speed."""

    slug = "timed-out"


class Garbage(CouldNotCheck):
    """An answer that isn't what the protocol promises: HTML, no JSON, too long, no slug on a 404."""

    slug = "garbage"


class ServerFailed(CouldNotCheck):
    """A 5xx or another status that says nothing about trust."""

    slug = "server-failed"


class TrustDisabled(CouldNotCheck):
    """The operator switched content trust off (TRUST 7.6)."""

    slug = "content-trust-disabled"


class CollectionGone(CouldNotCheck):
    """A collection that was seen before is said not to exist (TRUST 6.4)."""

    slug = "collection-gone"


class BadBundle(CouldNotCheck):
    """A file that is no bundle, is damaged, or lacks what it was asked for."""

    slug = "bad-bundle"


class NotAllowed(TrustkitError):
    """Refused for who is asking, not for what is asked."""

    slug = "not-allowed"


class LoginRequired(NotAllowed):
    """No credentials, or credentials that aren't accepted."""

    slug = "login-required"


class RoleMissing(NotAllowed):
    """Logged in, and short of a role.  ``context["missing"]`` lists every role that lacks."""

    slug = "role-missing"


class RateLimited(NotAllowed):
    """Too many attempts; ``context["retry_after"]`` is in seconds."""

    slug = "rate-limited"


class ConsentMissing(NotAllowed):
    """It takes the consent of an operator: a separate signer's, on its own machine, or the service's."""

    slug = "consent-missing"


class KeyProblem(TrustkitError):
    """A key, its file or its passphrase."""

    slug = "key"


class KeyMissing(KeyProblem):
    """No private key here for what has to be signed; the context names key ids, role and place."""

    slug = "key-missing"


class WrongKeyRole(KeyProblem):
    """The key is here, and is for another role than the one that it is wanted for."""

    slug = "wrong-key-role"


class KeyExists(KeyProblem):
    """A file is in the way where a key or a backup should go."""

    slug = "key-exists"


class KeyFileInvalid(KeyProblem):
    """A key file, or a backup of keys, that can't be read as what it should be."""

    slug = "key-file-invalid"


class WrongPassphrase(KeyProblem):
    """The passphrase doesn't open the key."""

    slug = "wrong-passphrase"


class NoPassphrase(KeyProblem):
    """No source gave a passphrase, and there is nobody to ask."""

    slug = "no-passphrase"


class WeakPassphrase(KeyProblem):
    """A new passphrase under the minimum length, or the two entries differ."""

    slug = "weak-passphrase"


class KeyUnsupported(KeyProblem):
    """A key of a type or size that is not allowed (TRUST 2.2)."""

    slug = "key-unsupported"


class KeyUnavailable(KeyProblem):
    """The token or key service that holds a key isn't there, doesn't answer, or refuses: plug it in, log in there."""

    slug = "key-unavailable"
