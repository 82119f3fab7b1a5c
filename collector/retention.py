"""How long each table keeps what was stored: counted from the day it came, so that late facts of old days stay."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

STORED_ON: Final[Mapping[str, str]] = {
    "spans": "ingested_at",
    "business_keys": "ingested_on",
    "links": "ingested_on",
    "failures": "ingested_on",
    "concerns": "ingested_on",
    "journal_lines": "ingested_on",
    "recon_items": "ingested_on",
    "recon_entries": "ingested_on",
    "milestones": "ingested_on",
    "stock_freshness": "ingested_on",
    "stock_marks": "ingested_on",
    "sli_samples": "toDateTime(measured_at)",
}
"""Each table whose rows may expire, and when a row of it was stored."""


class RetentionError(ValueError):
    """The text says no retention; says what is wrong."""


_RULE: Final = re.compile(r"\s*(\w+)\s*=\s*(\d{1,5})\s*")
_DAYS: Final = re.compile(r"\bTTL\b.*?toIntervalDay\((\d+)\)")


def parse(text: str) -> dict[str, int]:
    """Days by table, of ``spans = 400, stock_freshness = 90``. Raises RetentionError."""
    days: dict[str, int] = {}
    for part in filter(str.strip, text.split(",")):
        rule = _RULE.fullmatch(part)
        if rule is None or not int(rule[2]):
            raise RetentionError(f"retention: '{part.strip()}' is not of the form 'table = days', days from 1 to 99999")
        if rule[1] not in STORED_ON:
            raise RetentionError(f"retention: no table '{rule[1]}'; there are {', '.join(STORED_ON)}")
        days[rule[1]] = int(rule[2])
    return days


def changes(wanted: Mapping[str, int], created: Mapping[str, str]) -> Sequence[str]:
    """The statements that bring tables to ``wanted`` days; ``created`` is the statement each would be made by now."""
    statements = []
    for table, stored_on in STORED_ON.items():
        found = _DAYS.search(created.get(table, ""))
        has, wants = int(found[1]) if found else 0, wanted.get(table, 0)
        if wants and wants != has:
            statements.append(f"ALTER TABLE {table} MODIFY TTL {stored_on} + toIntervalDay({wants})")
        elif has and not wants:
            statements.append(f"ALTER TABLE {table} REMOVE TTL")
    return statements
