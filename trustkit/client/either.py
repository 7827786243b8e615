"""One publisher for collections of both formats: the verified pin says which one a collection has (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from trustkit.client.change import Change
from trustkit.client.docker_publish import DockerPublisher
from trustkit.client.outcome import Leave, Outcome
from trustkit.client.publish import Publisher
from trustkit.client.signers import Agree, SignerEdit
from trustkit.client.trust import Current, Trust
from trustkit.core.bins import Near
from trustkit.core.difference import Difference
from trustkit.core.names import Gun
from trustkit.core.rules import DOCKER, TUF
from trustkit.errors import Converted, NotAllowed, NotTrusted, UsageError, WrongFormat

Done = TypeVar("Done")


class EitherPublisher:
    """A ``TagPublisher`` and a ``SignerPublisher``.

    Args:
        docker: makes the publisher of format ``docker``, when one is needed.
        trust: knows the pins, and asks the service where there is none; follows where they lead.
        wanted: the format of a collection that is made here; the service's choice where None.
        only: whether every collection has to have the wanted format, as where the keys are in Docker's folder.
    """

    def __init__(
        self,
        tuf: Publisher,
        docker: Callable[[], DockerPublisher],
        trust: Trust,
        *,
        clock: Callable[[], datetime],
        wanted: str | None = None,
        only: bool = False,
    ) -> None:
        self._clock = clock
        self._tuf = tuf
        self._make = docker
        self._docker: DockerPublisher | None = None
        self._trust = trust
        self._wanted = wanted
        self._only = only

    @property
    def docker(self) -> DockerPublisher:
        """The publisher of format ``docker``."""
        if self._docker is None:
            self._docker = self._make()
        return self._docker

    def is_docker(self, gun: Gun) -> bool:
        """Whether a GUN is in format ``docker``, or would be made so.

        Raises:
            WrongFormat: it is in another format than the one that is wanted.
            UsageError: the keys are in Docker's folder, and it isn't in format ``docker``.
        """
        found = self._format(gun)
        if self._only and found != DOCKER:
            raise UsageError(
                f"{gun} is in format {found}; the keys of Docker's folder sign collections in format docker.",
                hint="Leave out --trust-dir, or make it with: trustkit init --format docker.",
            )
        return found == DOCKER

    def is_docker_still(self, gun: Gun) -> bool:
        """As ``is_docker``, after a look whether it was converted since: the pin has followed then (TRUST 5.4)."""
        found = self.is_docker(gun)
        if not found or self._only:
            return found
        try:
            return self._trust.current(gun, self._clock()).pin.format == DOCKER
        except Converted:
            raise
        except NotTrusted:
            return True  # what is to be mended may be why

    def _format(self, gun: Gun) -> str:
        if self._wanted is None:
            try:
                return self._trust.format_of(gun)
            except NotAllowed:
                return TUF  # whose publisher asks for the rights, and tells of all that lack
        there = self._trust.pinned_format(gun)
        if there not in (None, self._wanted):
            raise WrongFormat(
                f"{gun} is pinned in format {there}, not {self._wanted}.",
                hint=f"See: trustkit pin list. To begin anew: trustkit pin remove {gun}",
                format=there,
            )
        return self._wanted

    def _in_its_format(
        self, gun: Gun, docker: Callable[[DockerPublisher], Done], tuf: Callable[[Publisher], Done]
    ) -> Done:
        """Does it in the collection's format; where that was converted since, the pin follows first (TRUST 5.4)."""
        if not self.is_docker(gun):
            return tuf(self._tuf)
        try:
            return docker(self.docker)
        except (NotTrusted, WrongFormat) as error:
            told = isinstance(error, WrongFormat) or error.context.get("format") == TUF
            if not told or self._only or self._wanted == DOCKER:
                raise
            if self._trust.current(gun, self._clock()).pin.format != TUF:
                raise
            return tuf(self._tuf)

    def require(self, gun: Gun) -> None:
        """As ``Publisher.require``."""
        self._in_its_format(gun, lambda docker: docker.require(gun), lambda tuf: tuf.require(gun))

    def current(self, gun: Gun, tags: Near | None = None) -> Current | None:
        """As ``Publisher.current``; in format ``docker`` all of it."""
        return self._in_its_format(gun, lambda docker: docker.current(gun), lambda tuf: tuf.current(gun, tags))

    def publish(
        self,
        gun: Gun,
        change: Change,
        *,
        root_key: str | None = None,
        found: bool = True,
        leave: Leave = Leave.IF_NEEDED,
    ) -> Outcome:
        """As ``Publisher.publish``."""

        def by(publisher: Publisher | DockerPublisher) -> Outcome:
            return publisher.publish(gun, change, root_key=root_key, found=found, leave=leave)

        return self._in_its_format(gun, by, by)

    def change(self, gun: Gun, edit: SignerEdit, *, agree: Agree) -> Outcome:
        """As ``Publisher.change``."""
        return self._in_its_format(
            gun,
            lambda docker: docker.change(gun, edit.docker, agree=agree),
            lambda tuf: tuf.change(gun, edit, agree=agree),
        )

    def preview(self, gun: Gun, edit: SignerEdit) -> Difference:
        """As ``Publisher.preview``."""
        return self._in_its_format(
            gun, lambda docker: docker.preview(gun, edit.docker), lambda tuf: tuf.preview(gun, edit)
        )
