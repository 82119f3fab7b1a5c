"""Brings PostgreSQL and ClickHouse to the schema of this version, without serving anything."""

import contextlib

from alerts.store import Store as AlertStore
from collector.storage import Storage
from sync_core.store import Store as CoreStore
from tallytrace import postgres
from tallytrace.settings import Settings


def run(settings: Settings) -> dict[str, int]:
    """Statements or migrations applied, by database and schema. Raises PostgresError or StorageError."""
    with contextlib.ExitStack() as undo:
        url = settings.postgres_url or undo.enter_context(postgres.serving(settings.directory))
        core = CoreStore(url)
        core.open()
        undo.callback(core.close)
        alerts = AlertStore.connect(url)
        undo.callback(alerts.close)
        spans = Storage.connect(settings.clickhouse)
        undo.callback(spans.close)
        return {
            "postgres.core": len(core.migrate()),
            "postgres.alerts": len(alerts.migrate()),
            "clickhouse": spans.migrate(),
        }
