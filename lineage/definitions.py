"""What declaration files share: the vocabulary of milestones, and the error that names the file and the key."""

from pathlib import Path
from typing import Final, TypeVar

import msgspec

MILESTONES: Final = {
    "order": (
        "captured validated payment_confirmed fraud_cleared taxed reserved backordered erp_awaited erp_accepted routed "
        "acknowledged released ready_for_pickup edited lapsed renewed acknowledgement_awaited "
        "partially_shipped fulfilled cancelled duplicate_escaped notified closed"
    ),
    "fulfilment": (
        "released picked packed shipped nothing_to_post confirmation_awaited confirmed delivery_promised delivered "
        "picked_up"
    ),
    "return": (
        "requested authorised refused expired in_transit received verified inspected dispositioned refund_approved "
        "restocked refunded closed"
    ),
    "refund": "instructed issued failed settled",
    "payment": "authorised captured voided settlement_announced settled disputed dispute_won dispute_lost",
    "posting": "due journaled sent erp_accepted erp_rejected reversed",
    "settlement": "announced received matched hand_matched posted banked superseded",
    "stock": "occurred applied published",
    "transfer": "requested shipped received closed",
    "count": "taken compared drifted corrected",
    "message": "accepted redelivered replayed replay_announced failed recovered dead_lettered",
    "exception": "opened assigned resolved reopened",
    "period": "ended reconciled closed reopened",
    "channel": "registered live",
    "master_data": "changed distributed",
    "canary": "sent seen settled",
}
"""Every milestone that a flow or a service level may name, by the entity that reaches it."""

KNOWN: Final = frozenset(f"{entity}.{name}" for entity, names in MILESTONES.items() for name in names.split())

T = TypeVar("T")


class DefinitionError(ValueError):
    """A declaration file cannot be used; the message names the file, the key and the reason."""


def decode(raw: bytes, file: str, into: type[T]) -> T:
    """Reads a TOML document into ``into``. Raises DefinitionError for bad TOML, unknown keys and wrong types."""
    try:
        return msgspec.toml.decode(raw, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{file}: {error}") from error


def read(path: Path, into: type[T]) -> T:
    """Raises DefinitionError also when the file cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DefinitionError(f"{path}: {error.strerror}") from error
    return decode(raw, str(path), into)


def require_milestone(value: str, file: str, key: str) -> None:
    """Raises DefinitionError when ``value`` is no ``<entity>.<milestone>`` of the vocabulary."""
    if value in KNOWN:
        return
    entity, _, _ = value.partition(".")
    hint = f"{entity} has: {MILESTONES[entity]}" if entity in MILESTONES else f"entities are: {', '.join(MILESTONES)}"
    raise DefinitionError(f"{file}: {key}: unknown milestone {value!r}; {hint}")
