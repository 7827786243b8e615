"""Property tests without a deadline for an example: a busy machine is no defect."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("trustkit", deadline=None, print_blob=True)
settings.load_profile("trustkit")
