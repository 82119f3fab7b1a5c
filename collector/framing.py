"""The bytes of a segment: export requests as ClickHouse reads them, each able to prove that it is whole.

A record is the length of a message as a varint and the message: a request followed by one more field, its CRC-32, under
a number that OTLP does not use and readers skip. So the file that is made durable is, byte for byte, the insert body,
and needs no second file beside it that could disagree or would need a sync of its own.
"""

import zlib
from typing import Final

from msgspec import Struct

_CHECKSUM_TAG: Final = b"\xfd\x7f"  # field 2047, wire type 5 (fixed32)
_CHECKSUM_BYTES: Final = len(_CHECKSUM_TAG) + 4
_LONGEST_VARINT: Final = 5

EMPTY_REQUEST: Final = b"\x00"
"""A whole segment with nothing in it: harmless, and accepted by every storage that works."""


class Scan(Struct, frozen=True):
    bodies: list[bytes]  # the requests, without their checksums
    broken: list[tuple[int, int]]  # from where to where no whole record lies


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def record(body: bytes) -> bytes:
    return b"".join((varint(len(body) + _CHECKSUM_BYTES), body, _CHECKSUM_TAG, zlib.crc32(body).to_bytes(4, "little")))


def scan(segment: bytes) -> Scan:
    """The whole records of ``segment``, also those behind a broken one: each record ends with a tag to find it by."""
    bodies: list[bytes] = []
    broken: list[tuple[int, int]] = []
    position = 0
    while position < len(segment):
        if found := _read_record(segment, position):
            bodies.append(found.content)
            position = found.end
        else:
            resumed = _next_record(segment, position)
            broken.append((position, resumed))
            position = resumed
    return Scan(bodies, broken)


class _Record(Struct, frozen=True):
    content: bytes
    end: int


def _read_record(segment: bytes, position: int) -> _Record | None:
    bounds = _bounds(segment, position)
    if bounds is None:
        return None
    start, end = bounds
    content = segment[start : end - _CHECKSUM_BYTES]
    checksum = _CHECKSUM_TAG + zlib.crc32(content).to_bytes(4, "little")
    return _Record(content, end) if segment[end - _CHECKSUM_BYTES : end] == checksum else None


def _bounds(segment: bytes, position: int) -> tuple[int, int] | None:
    """From where to where the record that begins here goes, as far as its length can be believed."""
    length = 0
    for index, byte in enumerate(segment[position : position + _LONGEST_VARINT]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            start = position + index + 1
            return (start, start + length) if _CHECKSUM_BYTES <= length <= len(segment) - start else None
    return None


def _next_record(segment: bytes, position: int) -> int:
    """Where the next whole record begins; the end when there is none."""
    bounds = _bounds(segment, position)
    if bounds and _read_record(segment, bounds[1]):
        return bounds[1]
    while (tag := segment.find(_CHECKSUM_TAG, position)) >= 0:
        candidate = tag + _CHECKSUM_BYTES
        if _read_record(segment, candidate):
            return candidate
        position = tag + 1
    return len(segment)
