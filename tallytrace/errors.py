"""Why a command could not do what it was asked: what its user can mend, told in one line."""


class RefusedError(Exception):
    """What went wrong, and what to do about it where that is known."""


class SettingsError(RefusedError, ValueError):
    """A setting is unknown, or its value is not of its type."""


class AlreadyRunningError(RefusedError):
    """Another process holds this role of this installation."""


class PostgresError(RefusedError):
    """The embedded server could not be made or did not start; the message holds the end of its log."""


class NotServedError(RefusedError):
    """An address is taken, or an application did not start."""


class ServiceError(RefusedError):
    """A process of the product does not start, or does not stay up."""


class RemoteError(RefusedError):
    """The product answered with an error, or not at all."""


class KeyRefusedError(RefusedError):
    """The key cannot be added or removed; says why."""


class NoKeyError(RefusedError):
    """A port is open to others and nobody has a key for it."""
