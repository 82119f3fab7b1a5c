"""RFC 9457 problem details of the lineage API."""

from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from collector.errors import QueryTimeoutError, StorageUnavailableError
from lineage.model import Problem, Suggestion
from lineage.open_items import NotJudgedError

MEDIA_TYPE: Final = "application/problem+json"
NOT_JUDGED: Final = "urn:tallytrace:problem:not-judged"


def respond(problem: Problem) -> Response[Any]:
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE)


def not_found(request: Request[Any, Any, Any], detail: str, suggestions: tuple[Suggestion, ...] = ()) -> Response[Any]:
    return respond(
        Problem(
            type="urn:tallytrace:problem:not-found",
            title="Not found",
            status=404,
            detail=detail,
            instance=request.url.path,
            suggestions=suggestions,
        )
    )


def refused(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    return respond(
        Problem(
            type="urn:tallytrace:problem:bad-request" if error.status_code < 500 else "about:blank",
            title="Bad request" if error.status_code < 500 else "Internal error",
            status=error.status_code,
            detail=error.detail,
            instance=request.url.path,
            errors=error.extra,
        )
    )


def unavailable(request: Request[Any, Any, Any], error: StorageUnavailableError | QueryTimeoutError) -> Response[Any]:
    return respond(
        Problem(
            type="urn:tallytrace:problem:unavailable",
            title="The store does not answer",
            status=503,
            detail=str(error),
            instance=request.url.path,
        )
    )


def not_judged(request: Request[Any, Any, Any], error: NotJudgedError) -> Response[Any]:
    told = respond(
        Problem(
            type=NOT_JUDGED,
            title="Not judged yet",
            status=503,
            detail=f"{error}.",
            instance=request.url.path,
        )
    )
    told.headers["Retry-After"] = "15"
    return told


ERRORS: Final[Any] = {
    NotJudgedError: not_judged,
    HTTPException: refused,
    StorageUnavailableError: unavailable,
    QueryTimeoutError: unavailable,
}
"""What handlers of the lineage API raise, as problem documents."""
