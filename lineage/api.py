"""The lineage API: transactions by any ID, promises, obligations, technical traces."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from lineage import inquiries, promises_api, retrieval
from lineage.lookup import MAX_LENGTH
from lineage.model import (
    Choice,
    Journey,
    Overdue,
    Trace,
    Unknown,
)
from lineage.problems import ERRORS, not_found
from lineage.service import Lineage

AnyRequest = Request[Any, Any, Any]


def route_handlers(lineage: Lineage) -> list[HTTPRouteHandler]:
    """Every answer is a Struct of lineage.model; every error a problem document."""

    def answer(request: AnyRequest, any_id: str) -> Response[Any]:
        found = lineage.journey(any_id)
        if isinstance(found, Unknown):
            detail = f"No transaction is known by {any_id!r}."
            return not_found(request, detail, found.suggestions)
        return Response(found, status_code=300 if isinstance(found, Choice) else 200)

    @get("/v1/transactions", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def transaction_by_query(
        request: AnyRequest,
        any_id: Annotated[str, QueryParameter(name="id", min_length=1, max_length=MAX_LENGTH)],
    ) -> Response[Journey | Choice]:
        """The journey of the transaction that any ID belongs to; for IDs that hold slashes.

        300 with the matches when several origins know the number, 404 with suggestions when none does.
        """
        return answer(request, any_id)

    @get("/v1/transactions/{any_id:path}", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def transaction(request: AnyRequest, any_id: FromPath[str]) -> Response[Journey | Choice]:
        """The journey of the transaction that any ID belongs to: a business number, a correlation ID or a trace ID.

        300 with the matches when several origins know the number, 404 with suggestions when none does.
        """
        return answer(request, any_id.removeprefix("/"))

    @get("/v1/traces/{trace_id:str}", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def technical_trace(request: AnyRequest, trace_id: FromPath[str]) -> Response[Trace]:
        """Every span of one trace, a parent before its children."""
        found = lineage.trace(trace_id)
        return Response(found) if found else not_found(request, f"No trace has the ID {trace_id!r}.")

    @get("/v1/overdue", sync_to_thread=True, tags=["obligations"], exception_handlers=ERRORS)
    def overdue() -> Overdue:
        """What is past its deadline and still open, by owner, oldest first."""
        return lineage.overdue()

    own = [transaction_by_query, transaction, technical_trace, overdue]
    others = (promises_api, inquiries, retrieval)
    return [*own, *(handler for one in others for handler in one.route_handlers(lineage))]
