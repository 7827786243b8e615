"""What became of each of several collections, where one command changes them one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trustkit.client.outcome import Outcome
from trustkit.core.names import Gun
from trustkit.errors import TrustkitError


class Story:
    """Told where one of the collections fails, or somebody interrupts it; what was done before stays done.

    Args:
        guns: all of them, in their order.
        say: says one line.

    Attributes:
        done, proposed: those that are published, and those where others have to sign, too.
    """

    def __init__(self, guns: Sequence[Gun], say: Callable[[str], None]) -> None:
        self._guns = guns
        self._say = say
        self._at = guns[0]
        self.done: list[Gun] = []
        self.proposed: list[Gun] = []

    @contextmanager
    def of(self, gun: Gun) -> Iterator[None]:
        """While one of them is published."""
        self._at = gun
        try:
            yield
        except TrustkitError:
            self._tell("Failed")
            raise
        except KeyboardInterrupt:
            self._tell("Interrupted, and perhaps done")
            raise

    def add(self, outcome: Outcome) -> Outcome:
        """Takes down what became of the one that is published, and gives it back."""
        (self.done if outcome.proposal is None else self.proposed).append(self._at)
        return outcome

    def _tell(self, how: str) -> None:
        rest = self._guns[self._guns.index(self._at) + 1 :]
        parts = {"Done": self.done, "Left as a proposal": self.proposed, how: [self._at], "Not tried": rest}
        if len(self._guns) > 1:
            self._say(" ".join(f"{word}: {', '.join(map(str, those))}." for word, those in parts.items() if those))
