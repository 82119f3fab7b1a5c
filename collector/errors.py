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
