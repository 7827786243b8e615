"""What can be wrong with a certificate that somebody sent, as cryptography tells it."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""Raised when a certificate is loaded, or when a part of it is looked at.  Those of ``x509`` are no ValueErrors."""
