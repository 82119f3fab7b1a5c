"""SQL that lives in files: statements with a name and one sentence each."""

import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "sql"
_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """The statements of ``sql/<file>`` by name; each begins with ``-- name: <name>`` and a sentence."""
    parts = _NAME.split((FOLDER / file).read_text())[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def migrations() -> list[tuple[int, str, str]]:
    """(number, name, text) of the numbered migrations, in order."""
    found = [(int(path.name[:4]), path.stem, path.read_text()) for path in sorted(FOLDER.glob("[0-9]*.sql"))]
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    return found
