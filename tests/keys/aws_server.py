"""moto's server, with one flaw of its key service mended: it hashes a digest once more where it is told not to.

``python -m tests.keys.aws_server PORT``.  moto 5.2.5 ignores ``MessageType=DIGEST`` (its pull request 10202
implements it), so its signatures don't verify as those of AWS do; and its salts are as long as fits, where AWS's are
as long as the hash.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from moto.server import main

_HASHES = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_asked = threading.local()
_as_moto_does = KmsResponse.sign


def _remembering(self: KmsResponse) -> str:
    _asked.digest = self._get_param("MessageType") == "DIGEST"
    return str(_as_moto_does(self))


def _sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
    hashed = _HASHES[signing_algorithm[-3:]]
    how = Prehashed(hashed) if _asked.digest else hashed
    if isinstance(self.private_key, rsa.RSAPrivateKey):
        return self.private_key.sign(message, padding.PSS(padding.MGF1(hashed), hashed.digest_size), how)
    return bytes(self.private_key.sign(message, ec.ECDSA(how)))


KmsResponse.sign = _remembering
RSAPrivateKey.sign = ECDSAPrivateKey.sign = _sign

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
