"""What changed since: the same on both databases (``core.ports.changes``)."""

from __future__ import annotations

import asyncio

from tests.store.conftest import Opened
from trustkit.core.names import Gun


def test_every_commit_of_any_process_is_told_and_reading_is_none(opened: Opened) -> None:
    gun = Gun.parse("h.example/app")

    async def main() -> None:
        async with opened() as ours, opened() as theirs:
            first = await ours.changed_since("")  # type: ignore[attr-defined]  # an open store has it
            assert first.guns is None, "before the first mark anything may have happened"
            async with theirs.read() as tx:
                await tx.collections.get(gun)
            async with ours.read() as tx:
                await tx.collections.get(gun)
            quiet = await ours.changed_since(first.mark)  # type: ignore[attr-defined]
            assert quiet.guns == frozenset()
            for store, value in ((theirs, "docker"), (ours, "tuf")):
                before = await ours.changed_since(quiet.mark)  # type: ignore[attr-defined]
                async with store.write() as tx:
                    await tx.settings.put("default-format", value)
                    during = await ours.changed_since(before.mark)  # type: ignore[attr-defined]
                after = await ours.changed_since(during.mark)  # type: ignore[attr-defined]
                assert after.guns is None, "also where the mark was taken while it was written"
                quiet = after
            assert (await ours.changed_since("nonsense")).guns is None  # type: ignore[attr-defined]

    asyncio.run(main())
