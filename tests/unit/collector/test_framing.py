"""A segment proves which of its records are whole."""

import random

from collector.framing import EMPTY_REQUEST, Scan, record, scan, varint

BODIES = [b"", b"a", b"bc" * 100, bytes(70_000)]
SEGMENT = b"".join(map(record, BODIES))


def test_what_was_written_is_read() -> None:
    assert scan(SEGMENT) == Scan(BODIES, [])


def test_cut_anywhere_only_whole_records_count() -> None:
    ends = [sum(len(record(body)) for body in BODIES[:count]) for count in range(len(BODIES) + 1)]
    for cut in [*range(300), len(SEGMENT) - 1]:
        whole = max(end for end in ends if end <= cut)
        found = scan(SEGMENT[:cut])
        assert found.bodies == BODIES[: ends.index(whole)]
        assert found.broken == ([(whole, cut)] if whole < cut else [])


def test_a_flipped_bit_costs_the_record_it_hit_and_no_other() -> None:
    chance = random.Random(5)
    ends = [sum(len(record(body)) for body in BODIES[:count]) for count in range(len(BODIES) + 1)]
    of_checksums = [position for end in ends[1:] for position in range(end - 6, end)]
    for position in of_checksums + chance.choices(range(len(SEGMENT)), k=200):
        damaged = bytearray(SEGMENT)
        damaged[position] ^= 1 << chance.randrange(8)
        found = scan(bytes(damaged))
        hit = next(number for number in range(len(BODIES)) if position < ends[number + 1])
        assert found.broken == [(ends[hit], ends[hit + 1])]
        assert found.bodies == BODIES[:hit] + BODIES[hit + 1 :]


def test_zeros_after_a_power_cut_are_no_records() -> None:
    assert scan(SEGMENT + bytes(4096)) == Scan(BODIES, [(len(SEGMENT), len(SEGMENT) + 4096)])


def test_content_that_looks_like_the_end_of_a_record_is_content() -> None:
    body = b"\xfd\x7f" * 40
    damaged = record(body)[:-1] + b"!"
    assert scan(record(body) + damaged + record(body)).bodies == [body, body]


def test_the_empty_request_is_a_message_without_fields() -> None:
    assert varint(0) == EMPTY_REQUEST
    assert varint(300) == b"\xac\x02"
