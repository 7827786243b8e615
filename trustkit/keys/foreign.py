"""Private keys that come from elsewhere: key files of trustkit and of Notary's, and what OpenSSL writes."""

from __future__ import annotations

import dataclasses

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import KeyFileInvalid, KeyUnsupported, WrongKeyRole
from trustkit.keys import dockerpem, keypairs
from trustkit.keys.keyfile import KeyFile, check_purpose, is_key_file, stated_purpose
from trustkit.keys.passphrase import Passphrase, PassphraseSource
from trustkit.keys.subjects import KeySubject


def purpose_of(
    data: bytes, role: KeyRole | None, gun: Gun | None, name: SignerName | None, origin: str
) -> tuple[KeyRole, Gun | None, SignerName | None]:
    """What a key is for: as it was said, or as a key file of trustkit says itself.

    Args:
        role: what was said, with ``gun`` or ``name``; None takes it from the file.
        origin: the file's name, for errors.

    Raises:
        WrongKeyRole: a key file of trustkit says that the key is for another role.
        KeyProblem: nothing says it; InvalidSetting: a role without the GUN or name that belongs to it.
    """
    if role is None:
        role, gun, name = stated_purpose(data, origin)
    elif is_key_file(data) and (stated := stated_purpose(data, origin)[0]) is not role:
        raise WrongKeyRole(
            f"The key in {origin} is a {stated} key, and not a {role} key as --role says.",
            hint="Leave --role out: the file says what the key is for.",
            role=str(role),
            file=origin,
        )
    check_purpose(role, gun, name)
    return role, gun, name


def opened_foreign(
    data: bytes, subject: KeySubject, passphrases: PassphraseSource
) -> tuple[PrivateKeyTypes, Passphrase | None]:
    """The private key in a file, and the passphrase that opened it; None for a key that had none.

    Raises:
        KeyProblem: it can't be read or opened, or isn't allowed.
    """
    try:
        if is_key_file(data):
            file = KeyFile.parse(data)
            return passphrases.open(dataclasses.replace(subject, key_id=file.info.id), file.open)
        if dockerpem.is_notarys(data):
            from trustkit.keys.dockerkeys import DockerKeyFile  # X.509 takes 20 ms to load

            notarys = DockerKeyFile.parse(data)
            closed = notarys.is_encrypted
            return passphrases.open(subject, notarys.open) if closed else (notarys.open(None), None)
        if not keypairs.is_encrypted(data):
            return keypairs.read_foreign(data, None), None
        return passphrases.open(subject, lambda passphrase: keypairs.read_foreign(data, passphrase))
    except (KeyFileInvalid, KeyUnsupported) as error:
        raise type(error)(f"{subject.file} can't be imported. {error.message}", hint=error.hint) from error
