"""Every endpoint of the REST API, by method and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.account_endpoints import ACCOUNT_ENDPOINTS
from stablesats.okx_simulator.asset_endpoints import ASSET_ENDPOINTS
from stablesats.okx_simulator.public_endpoints import PUBLIC_ENDPOINTS
from stablesats.okx_simulator.trade_endpoints import TRADE_ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablesats.okx_simulator.endpoints import Endpoint

ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    (endpoint.method, endpoint.path): endpoint
    for endpoint in (*PUBLIC_ENDPOINTS, *ACCOUNT_ENDPOINTS, *ASSET_ENDPOINTS, *TRADE_ENDPOINTS)
}
_PATHS: Final = frozenset(path for _, path in ENDPOINTS)


def is_known_path(path: str) -> bool:
    """Tell whether the REST API has *path*."""
    return path in _PATHS
