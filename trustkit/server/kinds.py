"""What each route is called where requests are counted."""

from __future__ import annotations

import re
from typing import get_args

from trustkit.core.notarypaths import NotaryRoute
from trustkit.core.paths import RegistryRoute, TrustRoute

KINDS: dict[type, str] = {
    route: re.sub(r"(?<!^)(?=[A-Z])", "_", route.__name__).lower()
    for route in (*get_args(TrustRoute), *get_args(NotaryRoute), *get_args(RegistryRoute))
}
