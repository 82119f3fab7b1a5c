"""A segment proves which of its records are whole."""

import random

from collector.framing import EMPTY_REQUEST, record, scan, varint

BODIES = [b"", b"a", b"bc" * 100, bytes(70_000)]
SEGMENT = b"".join(map(record, BODIES))


def test_what_was_written_is_read() -> None:
    found = scan(SEGMENT)
    assert found.bodies == BODIES
    assert found.whole_bytes == len(SEGMENT)


def test_cut_anywhere_only_whole_records_count() -> None:
    ends = [sum(len(record(body)) for body in BODIES[:count]) for count in range(len(BODIES) + 1)]
    for cut in [*range(300), len(SEGMENT) - 1]:
        whole = max(end for end in ends if end <= cut)
        assert scan(SEGMENT[:cut]).whole_bytes == whole


def test_a_flipped_bit_ends_what_counts() -> None:
    chance = random.Random(5)
    for _ in range(200):
        position = chance.randrange(len(SEGMENT))
        damaged = bytearray(SEGMENT)
        damaged[position] ^= 1 << chance.randrange(8)
        found = scan(bytes(damaged))
        assert found.whole_bytes <= position
        assert found.bodies == BODIES[: len(found.bodies)]


def test_zeros_after_a_power_cut_are_no_records() -> None:
    assert scan(SEGMENT + bytes(4096)).whole_bytes == len(SEGMENT)


def test_the_empty_request_is_a_message_without_fields() -> None:
    assert varint(0) == EMPTY_REQUEST
    assert varint(300) == b"\xac\x02"
