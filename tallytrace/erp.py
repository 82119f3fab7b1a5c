"""The ERP that the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sync_core import clock
from sync_core.erp.http import ErpClient
from sync_core.erp.port import Erp
from sync_core.erp.tryton import Tryton, load_map
from sync_core.erp.tryton_rpc import Rpc
from tallytrace.errors import SettingsError
from tallytrace.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[Erp]:
    """Raises SettingsError for a file of accounts that cannot be used."""
    one: Erp = _tryton(settings) if settings.erp_kind == "tryton" else ErpClient(settings.erp_url, clock.wall)
    try:
        yield one
    finally:
        one.close()


def _tryton(settings: Settings) -> Tryton:
    missing = [name for name in ("erp_database", "erp_user", "erp_map") if not getattr(settings, name)]
    if missing:
        raise SettingsError(f"{', '.join(missing)}: a Tryton needs it; see tallytrace settings")
    try:
        named = load_map(Path(settings.erp_map))
    except (OSError, ValueError) as fault:
        raise SettingsError(f"{settings.erp_map}: {fault}") from fault
    rpc = Rpc(settings.erp_url, settings.erp_database, settings.erp_user, settings.erp_password, clock.wall)
    return Tryton(rpc, named)
