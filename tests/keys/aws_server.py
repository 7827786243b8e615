"""moto's server, with two flaws of its key service mended.

It hashes a digest once more where it is told not to, and it has a word of its own for a ciphertext of another key.

``python -m tests.keys.aws_server PORT``.  moto 5.2.5 ignores ``MessageType=DIGEST`` (its pull request 10202
implements it), so its signatures don't verify as those of AWS do; and its salts are as long as fits, where AWS's are
as the hash.  Of what another key encrypted than the one that is named, AWS says IncorrectKeyException.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from moto.server import main

_HASHES = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_asked = threading.local()
_as_moto_does, _as_moto_decrypts = KmsResponse.sign, KmsBackend.decrypt


def _remembering(self: KmsResponse) -> str:
    _asked.digest = self._get_param("MessageType") == "DIGEST"
    return str(_as_moto_does(self))


def _sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
    hashed = _HASHES[signing_algorithm[-3:]]
    how = Prehashed(hashed) if _asked.digest else hashed
    if isinstance(self.private_key, rsa.RSAPrivateKey):
        return self.private_key.sign(message, padding.PSS(padding.MGF1(hashed), hashed.digest_size), how)
    return bytes(self.private_key.sign(message, ec.ECDSA(how)))


class IncorrectKeyException(JsonRESTError):
    """As AWS's."""

    def __init__(self) -> None:
        super().__init__(
            "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform it."
        )


def _decrypt(self: KmsBackend, ciphertext_blob: bytes, **how: Any) -> Any:
    asked = how.pop("key_id", None)
    try:
        plain, arn = _as_moto_decrypts(self, ciphertext_blob, **how)
    except AccessDeniedException as error:
        raise IncorrectKeyException from error
    if asked and self.keys[self.any_id_to_key_id(asked)].arn != arn:
        raise IncorrectKeyException
    return plain, arn


KmsBackend.decrypt = _decrypt
KmsResponse.sign = _remembering
RSAPrivateKey.sign = ECDSAPrivateKey.sign = _sign

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
