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
    whole_bytes: int  # up to here every record is whole


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
    """The whole records at the beginning of ``segment``; it was written in order, so after a broken one none counts."""
    bodies: list[bytes] = []
    position = 0
    while body := _read_record(segment, position):
        bodies.append(body.content)
        position = body.end
    return Scan(bodies, position)


class _Record(Struct, frozen=True):
    content: bytes
    end: int


def _read_record(segment: bytes, position: int) -> _Record | None:
    length = 0
    for index, byte in enumerate(segment[position : position + _LONGEST_VARINT]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            start = position + index + 1
            break
    else:
        return None
    end = start + length
    content = segment[start : end - _CHECKSUM_BYTES]
    checksum = _CHECKSUM_TAG + zlib.crc32(content).to_bytes(4, "little")
    whole = length >= _CHECKSUM_BYTES and end <= len(segment) and segment[end - _CHECKSUM_BYTES : end] == checksum
    return _Record(content, end) if whole else None
