"""Why the collector could not do what it was asked."""


class CollectorError(Exception):
    """The collector could not do what it was asked."""


class StorageError(CollectorError):
    """ClickHouse refused a statement."""


class StorageUnavailableError(StorageError):
    """ClickHouse cannot be reached, or this end is closed; trying again later may work."""


class QueryTimeoutError(StorageError):
    """A query took longer than it was given, waiting for its turn included."""


class UnreadableSegmentError(StorageError):
    """A request in the segment cannot be read by ClickHouse; trying the same bytes again cannot work."""


class UndecodableRequestError(CollectorError):
    """The body is not an export request."""


class LogUnavailableError(CollectorError):
    """The request could not be written to disk now; the sender should try again."""


class LogFullError(LogUnavailableError):
    """So much waits to be stored that nothing more is taken; the sender should try again."""


class LogInUseError(CollectorError):
    """Another process writes to this directory."""


class BusyError(CollectorError):
    """Nothing is wrong with the request, only with its time; the sender should try again after ``seconds``."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooLargeError(CollectorError):
    """The body is longer than a request may be."""


class UnknownSenderError(CollectorError):
    """The sender gave no key, or one that is not known."""
