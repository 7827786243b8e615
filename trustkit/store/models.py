"""The tables.  Migrations say the same step by step; a test holds the two together.

Moments are microseconds since the epoch in UTC: they sort, compare and survive every database alike.  A collection
is never deleted, so that its versions are never used twice (TRUST 3.4, 3.5): where the versions of a role begin anew,
as Docker's clients have it, they do so in a series of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + value * _MICROSECOND


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("gun", String(512), nullable=False),
    Column("repository", String(255), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("closed", String(16), nullable=True),
    Column("format", String(16), nullable=False, server_default="tuf"),
    UniqueConstraint("gun"),
    UniqueConstraint("repository"),
)

files = Table(
    "files",
    metadata,
    Column("collection", Integer, ForeignKey("collections.id"), nullable=False),
    Column("role", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("stored", Moment, nullable=False),
    Column("series", Integer, nullable=False, server_default="0"),
    Column("sha256", String(64), nullable=True),
    PrimaryKeyConstraint("collection", "role", "series", "version"),
    Index(None, "sha256"),
)

heads = Table(
    "heads",
    metadata,
    Column("collection", Integer, ForeignKey("collections.id"), nullable=False),
    Column("role", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("series", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("collection", "role"),
    Index(None, "role", "expires"),
)


def _sealed_keys(name: str) -> Table:
    """A table of the service's keys, sealed by the key-encryption key, one a role of a collection."""
    return Table(
        name,
        metadata,
        Column("gun", String(512), nullable=False),
        Column("role", String(255), nullable=False),
        Column("key_id", String(64), nullable=False),
        Column("public", Text, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("created", Moment, nullable=False),
        PrimaryKeyConstraint("gun", "role"),
    )


online_keys = _sealed_keys("online_keys")
pending_keys = _sealed_keys("pending_keys")

HIDDEN = "#"
"""How the name of a collection begins that nobody can ask for: the frozen side of a converted one, in ``former``."""


def is_hidden(gun: str) -> bool:
    """Whether this is such a name."""
    return gun.startswith(HIDDEN)


former = Table(
    "former",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("collection", Integer, ForeignKey("collections.id"), nullable=False),
    Column("converted", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("ended", Moment, nullable=True),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("gun"),
    UniqueConstraint("collection"),
)

former_keys = _sealed_keys("former_keys")
coming_keys = _sealed_keys("coming_keys")

jumps = Table(
    "jumps",
    metadata,
    Column("collection", Integer, ForeignKey("collections.id"), nullable=False),
    Column("role", String(255), nullable=False),
    Column("ceiling", Integer, nullable=False),
    PrimaryKeyConstraint("collection", "role"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("until", Moment, nullable=False),
    PrimaryKeyConstraint("gun"),
)

changefeed = Table(
    "changefeed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("gun", String(512), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("category", String(16), nullable=False),
    Index(None, "gun"),
    sqlite_autoincrement=True,
)

principals = Table(
    "principals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    UniqueConstraint("name"),
    sqlite_autoincrement=True,
)

assignments = Table(
    "assignments",
    metadata,
    Column("principal", Integer, ForeignKey("principals.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(32), nullable=False),
    Column("pattern", String(257), nullable=False),
    PrimaryKeyConstraint("principal", "role", "pattern"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("principal", Integer, ForeignKey("principals.id", ondelete="CASCADE"), nullable=False),
    Column("service", String(255), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires", Moment, nullable=False),
    PrimaryKeyConstraint("token_hash"),
    Index(None, "principal"),
    Index(None, "expires"),
)

settings = Table(
    "settings",
    metadata,
    Column("name", String(128), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("name"),
)

trust_only = Table(
    "trust_only",
    metadata,
    Column("pattern", String(257), nullable=False),
    Column("trust_only", Boolean, nullable=False),
    PrimaryKeyConstraint("pattern"),
)

founders = Table(
    "founders",
    metadata,
    Column("pattern", String(257), nullable=False),
    Column("root_key", String(64), nullable=False),
    PrimaryKeyConstraint("pattern", "root_key"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("id", String(16), nullable=False),
    Column("opened", Moment, nullable=False),
    Column("opened_by", String(128), nullable=False),
    PrimaryKeyConstraint("gun", "id"),
)

proposed_files = Table(
    "proposed_files",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("role", String(255), nullable=False),
    Column("proposal", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("gun", "role"),
)

consumed_versions = Table(
    "consumed_versions",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("role", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("gun", "role"),
)

dropped_payloads = Table(
    "dropped_payloads",
    metadata,
    Column("gun", String(512), nullable=False),
    Column("role", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    PrimaryKeyConstraint("gun", "role", "version", "digest"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("source", String(255), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)
