"""The ERPs that the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sync_core import clock
from sync_core.erp.http import ErpClient
from sync_core.erp.port import Erp
from sync_core.erp.tryton import Tryton, load_map
from sync_core.erp.tryton_rpc import Rpc
from sync_core.ledger.ledger import PostingRules
from tallytrace.errors import SettingsError
from tallytrace.settings import Settings


class Further(Struct, frozen=True, forbid_unknown_fields=True):
    """An ERP beside the first, as the file ``erps`` has it; a field is what the setting ``erp_`` and its name is."""

    url: Annotated[str, Meta(min_length=1)]
    kind: Literal["http", "tryton"] = "http"
    database: str = ""
    user: str = ""
    password: str = ""
    map: str = ""


def named(settings: Settings, rules: PostingRules) -> dict[str, Settings]:
    """The settings of each ERP by its name, the first's without one; one without an address is left out.

    Raises SettingsError for a file that cannot be used, and unless it names the ERPs of the posting rules.
    """
    further = _further(settings.erps) if settings.erps else {}
    if strange := further.keys() ^ rules.erps.keys():
        both = ", ".join(sorted(strange))
        raise SettingsError(f"{both}: [erps.NAME] has to be in the posting rules and in the file that erps names")
    found = {"": settings} if settings.erp_url else {}
    for name, one in further.items():
        over = {f"erp_{field}": value for field, value in msgspec.structs.asdict(one).items()}
        found[name] = msgspec.structs.replace(settings, **over)
    return found


def _further(path: str) -> dict[str, Further]:
    try:
        return msgspec.toml.decode(Path(path).read_bytes(), type=_File).erps
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as fault:
        raise SettingsError(f"{path}: {fault}") from fault


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    erps: dict[Annotated[str, Meta(min_length=1, max_length=40)], Further]


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
