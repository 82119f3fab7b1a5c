"""Every setting of the product: one frozen value, read from ``tallytrace.toml`` and ``TALLYTRACE_*``."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tallytrace.errors import SettingsError

PREFIX: Final = "TALLYTRACE_"
FILE_NAME: Final = "tallytrace.toml"
CONFIG_VARIABLE: Final = "TALLYTRACE_CONFIG"  # names the file itself, so it cannot stand in the file
BACKFILLING: Final = "backfilling"
"""While a file of this name lies in ``home``, nothing is measured and no rule judged: half a history looks broken."""

Port = Annotated[int, Meta(ge=1, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    home: Annotated[str, Meta(min_length=1, description="directory of all state")] = "./var"
    postgres_url: Annotated[str, Meta(description="PostgreSQL server; empty: one of our own under home")] = ""
    clickhouse_url: Annotated[str, Meta(description="ClickHouse server; empty: the embedded engine under home")] = ""

    core_host: Annotated[str, Meta(description="address the sync core's API binds to")] = "127.0.0.1"
    core_port: Annotated[Port, Meta(description="port of the sync core's API")] = 8081
    plane_host: Annotated[str, Meta(description="address the lineage API and the pages bind to")] = "127.0.0.1"
    plane_port: Annotated[Port, Meta(description="port of the lineage API and the pages")] = 8080
    otlp_host: Annotated[str, Meta(description="address the OTLP receiver binds to")] = "127.0.0.1"
    otlp_port: Annotated[Port, Meta(description="port of the OTLP/HTTP receiver")] = 4318
    otlp_grpc_port: Annotated[int, Meta(ge=0, le=65535, description="port of the OTLP/gRPC receiver; 0: none")] = 4317
    core_url: Annotated[str, Meta(description="where others reach the sync core; empty: from its port")] = ""
    plane_url: Annotated[str, Meta(description="where people and links reach the pages; empty: from their port")] = ""
    collector_url: Annotated[str, Meta(description="where spans are sent; empty: from the receiver's port")] = ""

    collector_key: Annotated[
        str, Meta(description="key our own spans are sent with, and taken with; others' keys: tallytrace keys")
    ] = ""

    erp_url: Annotated[str, Meta(description="ERP that journals are posted to; empty: they wait")] = ""
    erp_kind: Annotated[
        Literal["http", "tryton"], Meta(description="what it speaks: the API of our stand-in, or Tryton's JSON-RPC")
    ] = "http"
    erp_database: Annotated[str, Meta(description="database of the ERP")] = ""
    erp_user: Annotated[str, Meta(description="user of the ERP")] = ""
    erp_password: Annotated[str, Meta(description="password of that user; best given as the variable")] = ""
    erp_map: Annotated[
        str, Meta(description="TOML file: which account of the ERP each of ours is, which location, which customer")
    ] = ""
    erps: Annotated[str, Meta(description="TOML file of further ERPs; which takes what is in the posting rules")] = ""
    erp_read_back_seconds: Annotated[
        float, Meta(ge=0, description="age at which a journal that the ERP took is read back and compared")
    ] = 60.0
    erp_batch: Annotated[int, Meta(ge=1, le=10_000, description="journals in one request to the ERP, at most")] = 500
    erp_requests_per_second: Annotated[float, Meta(ge=0, description="requests to the ERP, at most; 0: any")] = 0.0
    erp_concurrency: Annotated[int, Meta(ge=1, le=32, description="requests to the ERP at a time, at most")] = 1
    inbox_max_queued: Annotated[
        int, Meta(ge=1, description="events that wait to be processed; beyond that senders are asked to wait")
    ] = 50_000
    webhook_url: Annotated[str, Meta(description="where alerts are sent; empty: they are kept and shown only")] = ""
    alert_rules: Annotated[str, Meta(description="TOML file of alert rules; before delivered ones of the name")] = ""
    alert_routes: Annotated[str, Meta(description="TOML file of owners, contacts and routes, instead of ours")] = ""
    alert_addresses: Annotated[
        str, Meta(description="TOML file of the addresses and secrets that contacts name; keep it to yourself")
    ] = ""
    alert_heartbeat_url: Annotated[
        str, Meta(description="posted to after every evaluation in which alerting was sound: a dead man's switch")
    ] = ""
    posting_rules: Annotated[str, Meta(description="TOML file laid over the posting rules delivered")] = ""
    brands: Annotated[
        str, Meta(description="TOML file of brands: which channels and locations trade under one name; empty: none")
    ] = ""
    slas_override: Annotated[str, Meta(description="TOML file laid over the SLA definitions delivered")] = ""
    clock: Annotated[
        Literal["wall", "file"], Meta(description="wall: now is now; file: now is the latest event replayed")
    ] = "wall"

    segment_max_bytes: Annotated[
        int, Meta(ge=64 * 1024, description="size at which a segment of spans is closed and inserted")
    ] = 96 * 1024 * 1024
    segment_max_age_seconds: Annotated[
        float, Meta(gt=0, description="age at which a segment of spans is closed and inserted")
    ] = 0.25
    backlog_max_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="spans on disk for ClickHouse; beyond that senders are asked to wait")
    ] = 8 * 1024 * 1024 * 1024
    disk_reserve_bytes: Annotated[
        int, Meta(ge=0, description="disk space that spans on disk leave free; below it senders are asked to wait")
    ] = 1024 * 1024 * 1024
    retention: Annotated[
        str, Meta(description="days that tables keep what came, as 'spans=400, stock_freshness=90'; others keep all")
    ] = ""
    sla_tick_seconds: Annotated[float, Meta(gt=0, description="pause between two measurements of the SLAs")] = 15.0
    alert_tick_seconds: Annotated[float, Meta(gt=0, description="pause between two evaluations of the alerts")] = 15.0
    canary_seconds: Annotated[
        float, Meta(ge=0, description="pause between two transactions sent to test ourselves; 0, or clock file: none")
    ] = 300.0

    workers: Annotated[int, Meta(ge=1, le=64, description="threads that process events, in each process")] = 2
    worker_processes: Annotated[
        int, Meta(ge=0, le=64, description="processes of their own for these threads; 0: in the core")
    ] = 0
    worker_batch: Annotated[int, Meta(ge=1, le=10_000, description="events a worker commits at once, at most")] = 1_000
    retry_max_attempts: Annotated[
        int, Meta(ge=1, le=10_000, description="attempts at a delivery before it is a dead letter")
    ] = 200
    retry_base_seconds: Annotated[
        float, Meta(gt=0, description="pause before the second attempt; it doubles from there")
    ] = 0.5

    @property
    def directory(self) -> Path:
        return Path(self.home).absolute()

    @property
    def clickhouse(self) -> str:
        """URL of the ClickHouse that is used, the embedded one included."""
        return self.clickhouse_url or f"chdb://{self.directory / 'clickhouse'}"

    @property
    def core_base(self) -> str:
        """Where others reach the sync core, without a slash at the end."""
        return self.core_url.rstrip("/") or local_url(self.core_host, self.core_port)

    @property
    def plane_base(self) -> str:
        """Where people and links reach the pages, without a slash at the end."""
        return self.plane_url.rstrip("/") or local_url(self.plane_host, self.plane_port)

    @property
    def collector_base(self) -> str:
        """Where spans are sent, without a slash and without /v1/traces at the end."""
        return self.collector_url.rstrip("/") or local_url(self.otlp_host, self.otlp_port)


class Described(msgspec.Struct, frozen=True):
    """One row of the table of settings."""

    name: str
    variable: str
    default: str
    meaning: str


def load(environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Settings from the environment over those of the file over the defaults.

    The file is `config`, else the one TALLYTRACE_CONFIG names, else tallytrace.toml in TALLYTRACE_HOME, else in the
    working directory. Raises SettingsError.
    """
    path = config or _find(environment)
    values: dict[str, Any] = _read(path) if path else {}
    for name in values:
        _must_be_known(name, f"{path}: {name}")
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            name = variable.removeprefix(PREFIX).lower()
            _must_be_known(name, variable)
            values[name] = _typed(name, text, variable)
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as fault:
        raise SettingsError(f"{path or 'settings'}: {fault}") from fault


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables from which `load` builds an equal value, for a process started by this one."""
    return {variable_of(name): str(value) for name, value in msgspec.structs.asdict(settings).items()}


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def local_url(host: str, port: int) -> str:
    """How this machine reaches a server that is bound to `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def describe() -> list[Described]:
    return [
        Described(
            field.name,
            variable_of(field.name),
            str(field.default),
            _description(field.type),
        )
        for field in msgspec.structs.fields(Settings)
    ]


def _find(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get(CONFIG_VARIABLE):
        return Path(named)
    homes = [Path(environment[variable_of("home")])] if environment.get(variable_of("home")) else []
    return next((home / FILE_NAME for home in [*homes, Path()] if (home / FILE_NAME).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise SettingsError(f"{path}: {fault}") from fault


def _must_be_known(name: str, as_written: str) -> None:
    known = Settings.__struct_fields__
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0)
        raise SettingsError(f"{as_written}: no such setting; the nearest is {near[0]} ({variable_of(near[0])})")


def _typed(name: str, text: str, variable: str) -> Any:
    field = next(field for field in msgspec.structs.fields(Settings) if field.name == name)
    try:
        return msgspec.convert(text, field.type, strict=False)
    except msgspec.ValidationError as fault:
        raise SettingsError(f"{variable}={text}: {fault}") from fault


def _description(kind: Any) -> str:
    return next((meta.description for meta in kind.__metadata__[::-1] if meta.description), "")
