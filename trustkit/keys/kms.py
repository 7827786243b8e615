"""Keys in key services (AWS, HashiCorp Vault, Azure, Google), through securesystemslib's signers.

Each service's package raises what it likes, so this is the one place where any of it becomes ours.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import Key, Signer, SSlibKey

from trustkit.core.publickeys import RSA_PSS
from trustkit.errors import InvalidSetting, KeyUnavailable, KeyUnsupported, TrustkitError, UsageError
from trustkit.keys import keypairs, sdks
from trustkit.keys.uris import KmsUri

_AZURE = re.compile(r"//([^.]+)\.vault\.azure\.net/keys/([^/]+)")
_SILENT = logging.NullHandler()


def fetch_public(uri: KmsUri) -> tuple[Key, KmsUri]:
    """The public half of a key, with its own id (TRUST 2.1), and the URI that names its version.

    Raises:
        KeyUnsupported: a type that isn't allowed.
        KeyUnavailable: the service doesn't answer, or refuses.
        UsageError: a version of the key that isn't its newest.
        InvalidSetting: the service's package isn't installed.
    """
    signer = sdks.signer_class(uri.scheme)
    if uri.scheme == "azurekms":
        found = _AZURE.match(uri.name)
        arguments = found.groups() if found else ()
    else:
        arguments = (uri.name.partition("/")[0] if uri.scheme == "hv" else uri.name,)
    with speaking(uri):
        text, said = signer.import_(*arguments)
    newest = KmsUri(uri.scheme, text.partition(":")[2])
    if uri.name not in (newest.name, newest.name.rpartition("/")[0]):
        raise UsageError(f"The newest version of that key is {newest}, and only the newest can be taken in.")
    return _ours(said, uri), newest


def open_signer(uri: KmsUri, public: Key) -> Signer:
    """Signs with a key of a key service, as this public key; raises as ``fetch_public``, also when it signs."""
    signer = sdks.signer_class(uri.scheme)
    known = SSlibKey(public.keyid, public.keytype, public.scheme, public.keyval)
    with speaking(uri):
        made: Signer = signer.from_priv_key_uri(str(uri), known, None)
    return made


@contextlib.contextmanager
def speaking(uri: KmsUri, *, may: str = "read the key and sign") -> Iterator[None]:
    """Turns what a service's package raises into KeyUnavailable that names the key, and what one must be let do."""
    from securesystemslib.exceptions import UnsupportedAlgorithmError, UnsupportedLibraryError

    logging.getLogger("securesystemslib").handlers[:] = [_SILENT]  # its own prints what it raises as well
    try:
        yield
    except TrustkitError:
        raise
    except UnsupportedLibraryError as error:
        extra = sdks.SDKS[uri.scheme].extra
        raise InvalidSetting(
            f"What reaches {uri.scheme}: keys isn't installed whole.", hint=f"pip install 'trustkit[{extra}]'"
        ) from error
    except UnsupportedAlgorithmError as error:
        raise _unsupported(uri) from error
    except Exception as error:  # packages of four vendors, with trees of their own
        reason = " ".join(str(error).split())[:300] or "no reason given"
        raise KeyUnavailable(
            f"The key {uri} can't be used: {type(error).__name__}: {reason}",
            hint=f"Log in to the key service, and look that you may {may} with it.",
        ) from error


def _ours(said: Key, uri: KmsUri) -> Key:
    """The key as we spell it; the service's own id and spelling of it don't count."""
    if said.keytype == "ed25519":
        public = SSlibKey(said.keyid, said.keytype, said.scheme, said.keyval)
        return keypairs.read_public_pem(keypairs.public_pem(public))
    try:
        ours = keypairs.public_half(load_pem_public_key(str(said.keyval["public"]).encode("ascii")))
    except (ValueError, KeyUnsupported) as error:
        raise _unsupported(uri) from error
    if (ours.keytype, ours.scheme) != (said.keytype, said.scheme):
        raise _unsupported(uri)
    return ours


def _unsupported(uri: KmsUri) -> KeyUnsupported:
    return KeyUnsupported(
        f"The key {uri} is of a type that isn't allowed.",
        hint=f"Use Ed25519, ECDSA P-256 or P-384, or RSA for {RSA_PSS[1]} with 2048 to 4096 bits.",
    )
