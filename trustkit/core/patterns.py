"""Patterns of names: which repositories and GUNs a rule is about (TRUST 1.1)."""

from __future__ import annotations

from typing import Self

from trustkit.core.names import Gun, Host, Repository, Sortable, looks_like_host, shown
from trustkit.core.records import dataclass
from trustkit.errors import InvalidName


@dataclass(frozen=True, slots=True)
class RepositoryPattern(Sortable):
    """Repositories by path: ``*``, a repository, or ``prefix/*`` (everything below, ``/``-bounded; TRUST 1.1)."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName for a ``*`` anywhere but as the last whole part."""
        if text != "*":
            Repository.parse(text.removesuffix("/*"))
        return cls(text)

    def matches(self, repository: Repository) -> bool:
        """Whether the repository is one of these; case-sensitive."""
        if self.text == "*":
            return True
        if self.text.endswith("/*"):
            return repository.path.startswith(self.text[:-1])
        return repository.path == self.text

    @property
    def specificity(self) -> tuple[int, int]:
        """Orders patterns that match one repository; the larger is the more specific, and no two are equal."""
        if self.text.endswith("*"):
            return (0, len(self.text))
        return (1, len(self.text))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class GunPattern(Sortable):
    """GUNs by name: one GUN, ``HOST/*`` or ``HOST/prefix/*``."""

    host: Host
    repositories: RepositoryPattern

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName; the host is never a pattern."""
        host, slash, path = text.partition("/")
        if not slash or not looks_like_host(host):
            raise InvalidName(f"{shown(text)} does not name a registry.", hint="Write HOST/repository or HOST/*.")
        return cls(Host.parse(host), RepositoryPattern.parse(path))

    def matches(self, gun: Gun) -> bool:
        """Whether the GUN is one of these."""
        return self.host == gun.host and self.repositories.matches(gun.repository)

    @property
    def exact(self) -> bool:
        """Whether this is one GUN and no pattern."""
        return not self.repositories.text.endswith("*")

    @property
    def specificity(self) -> tuple[int, int]:
        """As RepositoryPattern.specificity."""
        return self.repositories.specificity

    def __str__(self) -> str:
        return f"{self.host}/{self.repositories}"
