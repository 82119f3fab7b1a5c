"""What to do about each kind of exception, as data."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct


class Playbook(Struct, frozen=True, forbid_unknown_fields=True):
    """What an exception means, what to do first, and when it is resolved by itself (empty: never)."""

    means: str
    first: str
    by_itself: str


PLAYBOOKS: Final[Mapping[str, Playbook]] = msgspec.convert(
    tomllib.loads(Path(__file__).with_name("playbooks.toml").read_text(encoding="utf-8")), dict[str, Playbook]
)
OTHER: Final = Playbook(
    means="A kind of exception that this version does not raise any more.",
    first="Read what it says, decide, and write down why when you resolve it.",
    by_itself="",
)


def playbook(kind: str) -> Playbook:
    return PLAYBOOKS.get(kind, OTHER)
