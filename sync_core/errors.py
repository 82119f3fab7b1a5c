"""What can go wrong in the sync core; the docstring of a class is its message to people."""

from msgspec import Struct


class SyncCoreError(Exception):
    """Something in the sync core failed."""


class InvalidEventError(SyncCoreError):
    """The event does not have the form its type requires."""

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class UnknownEventTypeError(InvalidEventError):
    """No event of this type is known; see GET /v1/schemas."""


class UnbalancedJournalError(SyncCoreError):
    """The debits and credits of a journal differ."""


class UnreadableFileError(SyncCoreError):
    """The file cannot be read beyond a line; what stands before it is kept."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(f"{name}, line {line}: {reason}")
        self.name = name
        self.line = line
        self.reason = reason


class Refusal(Struct, frozen=True):
    """Why a decision was not to act: a short code for machines, a sentence for people."""

    code: str
    detail: str
