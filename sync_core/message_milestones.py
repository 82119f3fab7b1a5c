"""What becomes of messages that a target did not take at first: span events that tell it. Pure.

A message to the ERP is known by its document, one to the core by the exception about it.
"""

from typing import Any, Final, Literal

from collector.semconv import EVENT_MILESTONE
from sync_core.model import ExceptionKind

ABOUT_MESSAGES: Final[tuple[ExceptionKind, ...]] = ("dead_letter", "out_of_sequence")
TO_CORE: Final = "event"


def told(message: str, milestone: Literal["failed", "recovered"], kind: str) -> tuple[str, dict[str, Any]]:
    return EVENT_MILESTONE, {"entity": "message", "entity_id": message, "milestone": milestone, "kind": kind}


def of_exception(exception_id: str, milestone: Literal["failed", "recovered"]) -> list[tuple[str, dict[str, Any]]]:
    """Nothing, when the exception is not about a message that was to be processed."""
    about = any(f":{kind}/" in exception_id for kind in ABOUT_MESSAGES)
    return [told(exception_id, milestone, TO_CORE)] if about else []


def to_erp(document_id: str) -> str:
    return f"erp/{document_id}"
