"""The numbered SQL files as single statements, and which of them a database still needs."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

SQL: Final = Path(__file__).parent / "sql"

_TOKEN: Final = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<end>;)""",
    re.DOTALL,
)


class MigrationError(Exception):
    """A migration that was already applied has been edited; write a new one instead."""


class Statement(Struct, frozen=True):
    version: int
    number: int  # within its file, from 1
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]


def split_statements(text: str) -> list[str]:
    """The statements of a SQL file without comments; a semicolon in a string, a name or a comment ends nothing."""
    statements, current, position = [], "", 0
    for token in _TOKEN.finditer(text):
        current += text[position : token.start()]
        position = token.end()
        if token["end"]:
            statements.append(current)
            current = ""
        elif token["text"]:
            current += token["text"]
    statements.append(current + text[position:])
    return [statement.strip() for statement in statements if statement.strip()]


def load(directory: Path = SQL) -> list[Statement]:
    """Every statement of ``NNNN_name.sql``, in order."""
    return [
        Statement(int(path.name[:4]), number, path.stem[5:], sql)
        for path in sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))
        for number, sql in enumerate(split_statements(path.read_text()), start=1)
    ]


def pending(statements: Iterable[Statement], applied: Mapping[tuple[int, int], str]) -> list[Statement]:
    """Those not in ``applied`` ((version, number) to digest). Raises MigrationError when an applied one has changed."""
    needed = []
    for statement in statements:
        digest = applied.get((statement.version, statement.number))
        if digest is None:
            needed.append(statement)
        elif digest != statement.digest:
            raise MigrationError(f"{statement.version:04}_{statement.name}.sql, statement {statement.number}")
    return needed
