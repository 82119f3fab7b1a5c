"""Which transaction a typed ID means, and which near IDs were perhaps meant."""

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from collector.semconv import InvalidReferenceError, correlation_id
from lineage.model import Match, Suggestion
from lineage.rows import KeyRow, moment

HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
MAX_LENGTH: Final = 200
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-/_"
_EDITED_UP_TO: Final = 24  # characters; longer IDs are pasted, not typed


def clean(typed: str) -> str:
    """Without what is not part of a number: surrounding blanks and a leading #."""
    return unicodedata.normalize("NFC", typed).strip().removeprefix("#")[:MAX_LENGTH]


def candidates(typed: str, rows: Sequence[KeyRow]) -> tuple[Match, ...]:
    """One match for each transaction that the number may mean.

    Within one origin the transaction that the number *identifies* goes before those that merely mention it (a return
    mentions its order). Across origins nothing goes before anything: the reader chooses.
    """
    by_origin: dict[str, dict[str, KeyRow]] = {}
    for row in rows:
        by_origin.setdefault(row.origin, {}).setdefault(row.correlation_id, row)
    found: list[KeyRow] = []
    for origin, transactions in by_origin.items():
        own = transactions.get(_identity(origin, typed))
        found += [own] if own else transactions.values()
    return tuple(match(row) for row in sorted(found, key=lambda row: (-row.last_us, row.correlation_id)))


def match(row: KeyRow) -> Match:
    return Match(
        key_value=row.key_value,
        key_name=row.key_name,
        origin=row.origin,
        correlation_id=row.correlation_id,
        first_seen=moment(row.first_us),
        last_seen=moment(row.last_us),
    )


def _identity(origin: str, reference: str) -> str:
    try:
        return correlation_id(origin, reference).hex()
    except InvalidReferenceError:
        return ""


def spellings(typed: str) -> dict[str, tuple[int, str]]:
    """IDs one slip away from the typed one, each with its distance and the words for the slip."""
    bare = "".join(typed.split())
    found: dict[str, tuple[int, str]] = {}
    for variant in (typed, bare, bare.upper(), bare.lower(), re.sub(r"[^0-9A-Za-z]", "", bare)):
        for cased in (variant, variant.upper(), variant.lower()):
            found.setdefault(cased, (0, "differs in case, blanks or punctuation"))
    for length in range(max(4, len(bare) - 4), len(bare)):
        found.setdefault(bare[:length], (0, "begins what was typed"))
    if len(bare) <= _EDITED_UP_TO:
        for edited in _one_edit(bare):
            found.setdefault(edited, (1, "1 character differs"))
    found.pop(typed, None)
    found.pop("", None)
    return found


def _one_edit(word: str) -> Iterator[str]:
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        yield from (head + letter + tail for letter in _ALPHABET)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _ALPHABET)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


def suggestions(typed: str, rows: Iterable[KeyRow], limit: int = 8) -> tuple[Suggestion, ...]:
    """Nearest first: another spelling, one slip, then numbers that begin alike."""
    slips = spellings(typed)
    by_value: dict[str, list[KeyRow]] = {}
    for row in rows:
        by_value.setdefault(row.key_value, []).append(row)
    found: list[Suggestion] = []
    for value, of in by_value.items():
        distance, why = slips.get(value) or _alike(typed, value)
        for one in candidates(value, of):
            found.append(
                Suggestion(
                    key_value=value,
                    key_name=one.key_name,
                    origin=one.origin,
                    correlation_id=one.correlation_id,
                    why=why,
                    distance=distance,
                )
            )
    found.sort(key=lambda one: (one.distance, len(one.key_value), one.key_value, one.origin))
    return tuple(found[:limit])


def _alike(typed: str, value: str) -> tuple[int, str]:
    if value.startswith(typed):
        return 2, "begins with what was typed"
    return 3, "2 characters differ"
