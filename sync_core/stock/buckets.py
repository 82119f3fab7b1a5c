"""Buckets of stock, and what each kind of movement does to them: the one table that counters and audit follow."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any, Final, Literal

Bucket = Literal["good", "damaged", "return_pending", "quarantine", "refurbish"]
Counter = Literal["good", "damaged", "return_pending", "quarantine", "refurbish", "reserved", "committed", "in_transit"]

PHYSICAL: Final[tuple[Bucket, ...]] = ("good", "damaged", "return_pending", "quarantine", "refurbish")
"""What stands in the building."""

COUNTERS: Final[tuple[Counter, ...]] = (*PHYSICAL, "reserved", "committed", "in_transit")
"""Beside what is there: promised to orders, promised to transfers, and on its way here."""

EFFECTS: Final[Mapping[str, tuple[tuple[Counter, int], ...]]] = {
    "receipt": (("good", 1),),
    "adjustment": (("good", 1),),
    "count": (("good", 1),),
    "reservation": (("reserved", 1),),
    "release": (("reserved", -1),),
    "shipment": (("good", -1), ("reserved", -1)),
    "return_receipt": (("return_pending", 1),),
    "return_out": (("return_pending", -1),),
    "return_sent_back": (("return_pending", -1),),
    "return_in": (("return_pending", 1),),
    "transfer_commit": (("committed", 1),),
    "transfer_uncommit": (("committed", -1),),
    "transfer_out": (("good", -1),),
    "transfer_sent": (("in_transit", 1),),
    "transfer_in": (("in_transit", -1), ("good", 1)),
    "transfer_short": (("in_transit", -1),),
    "transfer_found": (("good", 1),),
    **{f"{taken}_to_{put}": ((taken, -1), (put, 1)) for taken, put in permutations(PHYSICAL, 2)},
    **{f"{taken}_to_scrap": ((taken, -1),) for taken in PHYSICAL},
}
"""By kind of movement: the counters of its location that change, and by how much for each unit."""

_FLAT: Final = [(kind, counter, factor) for kind, effects in EFFECTS.items() for counter, factor in effects]
FLAT_EFFECTS: Final[Mapping[str, list[Any]]] = {
    "kind": [kind for kind, _, _ in _FLAT],
    "counter": [counter for _, counter, _ in _FLAT],
    "factor": [factor for _, _, factor in _FLAT],
}
"""The same in columns, for SQL."""

PROMISES: Final = frozenset(
    kind for kind, effects in EFFECTS.items() if all(counter not in PHYSICAL for counter, _ in effects)
)
"""Movements that change what is promised or expected, not what is there."""

SUPPLIES: Final = frozenset({"receipt", "transfer_sent", "transfer_found"})
"""Movements that answer a call for replenishment of their location."""

FREES: Final[Mapping[str, int]] = {
    kind: sum(factor if counter == "good" else -factor for counter, factor in effects
              if counter in ("good", "reserved", "committed"))
    for kind, effects in EFFECTS.items()
}  # fmt: skip
"""By kind of movement: how many more units are free for each unit moved."""
