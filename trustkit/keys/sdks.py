"""The packages that reach devices and clouds: extras, and loaded only by a run that signs with one; and GnuPG, never.

``securesystemslib.signer`` imports every such package that is installed, in whatever uses it: with AWS's alone, each
command would start 0.25 s later.  So the program leaves them out when it starts, and brings one in for a key that is
there.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, cast

from trustkit.core.records import dataclass
from trustkit.errors import InvalidSetting


@dataclass(frozen=True, slots=True)
class Sdk:
    """What reaches one kind of place.

    Attributes:
        extra: the extra of trustkit that installs it.
        packages: what is imported, the one to look for first.
        module, signer: securesystemslib's class that uses it; empty where ours does.
    """

    extra: str
    packages: tuple[str, ...]
    module: str = ""
    signer: str = ""


SDKS = {
    "pkcs11": Sdk("hsm", ("pkcs11",)),
    "awskms": Sdk("aws", ("boto3", "botocore"), "_aws_signer", "AWSSigner"),
    "hv": Sdk("vault", ("hvac",), "_vault_signer", "VaultSigner"),
    "azurekms": Sdk("azure", ("azure.keyvault.keys", "azure.identity", "azure"), "_azure_signer", "AzureSigner"),
    "gcpkms": Sdk("gcp", ("google.cloud.kms", "google.cloud"), "_gcp_signer", "GCPSigner"),
}
"""By the scheme of a key's URI."""


GNUPG = tuple(f"securesystemslib._gpg.{name}" for name in ("constants", "exceptions", "functions"))
"""What reaches GnuPG: securesystemslib loads it, and ``subprocess`` for it, for keys of a type that is refused where
a file is read (TRUST 2.2).  Nothing stands in its place, so that whoever tried to use one would fail."""


def leave_out() -> None:
    """Makes this process do without all of them until ``bring_in``; those that are loaded already stay."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    for name in GNUPG:
        modules.setdefault(name, ModuleType(name))
    for sdk in SDKS.values():
        for package in sdk.packages:
            modules.setdefault(package, None)


def bring_in(scheme: str) -> None:
    """Loads what reaches the places of this scheme.

    Raises:
        InvalidSetting: it isn't installed; the hint is the command that does.
    """
    sdk = SDKS[scheme]
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    for package in sdk.packages:
        if modules.get(package, sys) is None:
            del modules[package]
    try:
        importlib.import_module(sdk.packages[0])
    except ImportError as error:
        raise InvalidSetting(
            f"What reaches {scheme}: keys isn't installed (the package {sdk.packages[0].partition('.')[0]}).",
            hint=f"pip install 'trustkit[{sdk.extra}]'",
        ) from error


def signer_class(scheme: str) -> Any:
    """securesystemslib's signer for this scheme, with what it needs loaded; raises InvalidSetting.

    Most likely its module was imported without the package (see ``leave_out``), and says whether it can work.
    """
    sdk = SDKS[scheme]
    bring_in(scheme)
    name = f"securesystemslib.signer.{sdk.module}"
    module = importlib.import_module(name)
    if any(value for key, value in vars(module).items() if key.endswith("_IMPORT_ERROR")):
        module = importlib.reload(module)
    return getattr(module, sdk.signer)
