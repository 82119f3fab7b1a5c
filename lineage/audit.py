"""What ``verify`` asks of the span store: which spans of a service are there, how often, by checksum and by ID."""

from typing import Annotated, Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from collector.storage import Storage
from lineage.model import StoredBucket
from lineage.queries import text

AUDIT_SECONDS: Final = 120.0
Service = Annotated[str, QueryParameter(max_length=200, description="service.name of the sender")]


def route_handlers(storage: Storage) -> list[HTTPRouteHandler]:
    """The audit of stored spans, as Litestar handlers."""

    @get("/v1/audit/spans", sync_to_thread=True, tags=["operation"])
    def buckets(service: Service) -> list[StoredBucket]:
        rows = storage.query(text("audit_buckets"), {"service": service}, max_seconds=AUDIT_SECONDS)
        return [StoredBucket(*row) for row in rows]

    @get("/v1/audit/spans/{bucket:int}", sync_to_thread=True, tags=["operation"])
    def bucket(service: Service, bucket: FromPath[int]) -> list[str]:
        params = {"service": service, "bucket": bucket}
        return [row[0] for row in storage.query(text("audit_bucket"), params, max_seconds=AUDIT_SECONDS)]

    return [buckets, bucket]
