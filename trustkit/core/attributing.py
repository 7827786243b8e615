"""What signers say in a draft: which tags each of them has signed, in one file or in bins of its own (TRUST 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

from securesystemslib.signer import Key

from trustkit.core.bins import Bins, next_prefix, prefix_of
from trustkit.core.delegations import RELEASES, Delegation
from trustkit.core.draftfiles import attributed, changed_paths, entries_of
from trustkit.core.edits import Edits
from trustkit.core.growth import Growth
from trustkit.core.roots import signed_by
from trustkit.core.saidbins import SAID_BITS, is_own, may_divide, peek_said, prefixes_in, said_in

FLAT = Growth(above=0)


class Attributing(Edits):
    """The part of a draft that only attributes; arguments and what it raises as of ``Edits``."""

    @property
    def said(self) -> Mapping[str, Bins]:
        """By role that attributes its bins, as the draft has them."""
        return peek_said(self.delegations, self.after.files)

    def attribute(self, key_id: str, growth: Growth = FLAT) -> tuple[str, ...]:
        """Has the signer of this key, which is one of ``releases``, say which tags it signed.

        What the edited files of ``releases`` have otherwise than those before is put into the signer's own.  What
        lies there by another key than the signer's of now is nothing that this one says.

        Args:
            growth: when its file is divided, where the tags lie in bins.

        Returns:
            The files that say so now; none where the key is no signer's, or changed no tag.
        """
        delegations, before, after = self.delegations, self.before, self.after
        role = delegations.attributions.get(key_id) if delegations else None
        old, signed = entries_of(before, RELEASES), entries_of(after, RELEASES)
        changed = changed_paths(old, signed)
        if role is None or delegations is None or not changed:
            return ()
        own = {key_id: delegations.keys[key_id]}
        fresh = role.name not in self._edited and not self.signed_by(role.name, own)
        bins = None if fresh else self.said.get(role.name)
        if bins is not None and is_own(bins, role, delegations.keys):
            names = {bins.of(path) for path in changed}
            parts = {name: {path for path in changed if bins.of(path) == name} for name in sorted(names)}
            return tuple(name for name, paths in parts.items() if self._say(name, paths, own))
        file = self.edit(role.name)
        file.targets = attributed({} if fresh or bins is not None else file.targets, changed, after)
        file.delegations = None
        return (role.name, *self._divide(role, own, growth))

    def _say(self, name: str, changed: set[str], own: Mapping[str, Key]) -> bool:
        """Says in one bin what changed of its tags; whether there was anything to say."""
        there, after = self.targets(name), self.after
        said = there.targets if there and (name in self._edited or self.signed_by(name, own)) else {}
        now = attributed(said, changed, after)
        if not now and there is None:
            return False
        self.edit(name).targets = now
        return True

    def _divide(self, role: Delegation, own: Mapping[str, Key], growth: Growth) -> tuple[str, ...]:
        """Puts what a signer says into bins, where it is too much for one file and the tags lie in bins."""
        file = self.edit(role.name)
        used = [*(name.removesuffix(".json") for name in self._snapshot.meta), *self._edited]
        used += [bins.names[0] for bins in self.said.values()]
        if self.places.bins is None or not may_divide(len(file.targets), growth, prefixes_in(used)):
            return ()
        bins = Bins(role.name, next_prefix(used), min(growth.bits, SAID_BITS), own, 1)
        entries, file.targets, file.delegations = file.targets, {}, bins.write()
        for path, entry in entries.items():
            self.edit(bins.of(path)).targets[path] = entry
        return tuple(sorted({bins.of(path) for path in entries}))

    def _said_by(self, role: str) -> str | None:
        """The role that attributes by a bin; None for all other files.  Whose a prefix is never changes."""
        prefix = prefix_of(role)
        if prefix is not None and prefix not in self._prefixes:
            self._prefixes[prefix] = said_in(role, self.said)
        return self._prefixes[prefix] if prefix is not None else None

    def say_again(self, name: str) -> None:
        """Has a signer say anew, by the key that it has now, what its files here say."""
        file, bins = self.edit(name), self.said.get(name)
        delegations = self.delegations
        role = delegations.get(name) if delegations else None
        if bins is None or role is None or delegations is None:
            return
        own = {key_id: delegations.keys[key_id] for key_id in role.key_ids}
        file.delegations = Bins(name, bins.prefix, bins.bits, own, 1).write()
        for each in [each for each in self._old if each in bins]:
            self.edit(each)

    def signed_by(self, role: str, keys: Mapping[str, Key]) -> frozenset[str]:
        """Those of these keys whose signatures are on the file that the draft started from."""
        return signed_by(self._old[role], keys) if role in self._old else frozenset()
