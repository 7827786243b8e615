"""Ending what docker reads of a converted collection, before its final expiry and without taking a tag back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.client.lagging import patiently
from trustkit.core.formats.docker.conversion import is_end
from trustkit.core.names import Gun
from trustkit.core.ports.converting import ConversionService, DockerSide
from trustkit.errors import CouldNotCheck, Garbage, NotFound, RolledBack, TrustDisabled

Agree = Callable[[DockerSide], None]


@dataclass(frozen=True, slots=True)
class EndReport:
    """What ending it did, or would do.

    Attributes:
        state: ``planned``, ``ended``, or ``done`` where it was over before.
        docker: what docker reads, as the service says; of ``planned`` before its end.
    """

    gun: Gun
    state: str
    docker: DockerSide


class EndDocker:
    """The use case of ``trustkit convert --end-docker``."""

    def __init__(
        self, service: ConversionService, *, clock: Callable[[], datetime], sleep: Callable[[float], None]
    ) -> None:
        self._service = service
        self._clock = clock
        self._sleep = sleep

    def plan(self, gun: Gun) -> EndReport:
        """What there is to end; nothing changes.

        Raises:
            RoleMissing, LoginRequired: who may not publish; NotFound: it was never converted.
        """
        side = self._service.conversion(gun).docker
        if side is None:
            raise NotFound(
                f"{gun} was never converted, so there is nothing of docker's to end.",
                hint=f"To convert a collection in format docker: trustkit convert {gun} --to tuf",
            )
        return EndReport(gun, "done" if side.over(self._clock()) else "planned", side)

    def run(self, gun: Gun, *, agree: Agree) -> EndReport:
        """Ends it, and reads back that whoever asks is shown the end (TRUST 3.9).

        Args:
            agree: is shown what there is before it ends, and raises where it may not.

        Raises:
            as ``plan``, and CouldNotCheck: it isn't known whether it ended; the same command finds out.
        """
        found = self.plan(gun)
        if found.state == "planned":
            agree(found.docker)
            try:
                found = EndReport(gun, "ended", self._ended(gun))
            except CouldNotCheck as error:
                error.hint = "Whether it ended isn't known. Run it again: it finds out."
                raise
        if found.docker.ended is not None:
            patiently(lambda: self._check_end(gun), sleep=self._sleep, clock=self._clock)
        return found

    def _ended(self, gun: Gun) -> DockerSide:
        side = self._service.end_docker(gun)
        if not side.over(self._clock()):
            raise Garbage(f"{gun.host} doesn't say that what docker reads of {gun} ended.")
        return side

    def _check_end(self, gun: Gun) -> None:
        try:
            served = self._service.frozen(gun, "timestamp")
        except TrustDisabled:
            return  # Notary's API is off: docker reads nothing at all
        if not is_end(served):
            raise RolledBack(
                f"What docker reads of {gun} ended, says the service, but it is served as if it hadn't.",
                hint="Ask the service's operator.",
            )
