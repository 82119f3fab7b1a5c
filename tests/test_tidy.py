"""What the shape of this repository promises, as tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tallytrace.settings import describe

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("alerts", "collector", "dashboards", "lineage", "sync_core", "tallytrace")

MAY_IMPORT: Final = {
    "sync_core": {"collector.semconv", "collector.compression"},
    "collector": set(),
    "lineage": {"collector.semconv", "collector.storage", "collector.errors"},  # errors: what storage raises
    "alerts": {"lineage"},
    "dashboards": {"lineage"},
    "tallytrace": set(PACKAGES),
}
BANNED_NAMES: Final = {"utils", "helpers", "common", "manager", "base"}

P90_LINES: Final = 30
LONGEST_LINES: Final = 80


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(package: str, imported: str) -> bool:
    top = imported.split(".")[0]
    if top not in (*PACKAGES, "tests") or top == package:
        return True
    return any(imported == granted or imported.startswith(f"{granted}.") for granted in MAY_IMPORT[package])


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {imported}"
        for path in python_files(package)
        for imported in imports(path)
        if not allowed(package, imported)
    ]
    assert found == []


def test_the_direction_test_sees_a_wrong_import() -> None:
    assert not allowed("sync_core", "collector.storage.Storage")
    assert not allowed("sync_core", "lineage")
    assert not allowed("lineage", "alerts.rule")
    assert not allowed("collector", "tests.factories")
    assert allowed("sync_core", "collector.semconv.correlation_id")
    assert allowed("alerts", "lineage.model.Sample")


def test_a_file_is_one_noun() -> None:
    everything = [path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*")]
    found = [str(path.relative_to(ROOT)) for path in everything if path.stem in BANNED_NAMES]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_sql_file_and_statement_is_used(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.sql"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in python_files(package, "tallytrace"))
    sql = {path: path.read_text(encoding="utf-8") for path in files}
    unused = []
    for path, text in sql.items():
        numbered = re.match(r"\d{4}_", path.name)  # migrations are found by their number
        included = any(f"/*{path.stem}*/" in other for other in sql.values())
        if not (numbered or included or re.search(rf"""["'/]{path.stem}(\.sql)?["']""", code)):
            unused.append(str(path.relative_to(ROOT)))
        for statement in re.findall(r"^-- name: (\w+)$", text, re.MULTILINE):
            if not re.search(rf"""["']{statement}["']""", code):
                unused.append(f"{path.relative_to(ROOT)}: {statement}")
    assert unused == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_sql_file_begins_with_a_sentence(package: str) -> None:
    files = (ROOT / package).rglob("*.sql")
    found = [path.name for path in files if not path.read_text(encoding="utf-8").startswith("-- ")]
    assert found == []


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [row.name for row in describe() if f"`{row.name}`" not in readme or f"`{row.variable}`" not in readme]
    assert missing == []


def test_no_path_of_one_machine() -> None:
    homes = re.compile(rf"{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/|/home/\w+/|/Users/\w+/")
    kinds = {".py", ".sql", ".toml", ".md", ".yml", ".js", ".css", ".lock", ""}
    top = [path for path in ROOT.iterdir() if path.is_file()]
    inside = [path for folder in (*PACKAGES, "tests", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in [*top, *inside]
        if path.suffix in kinds and not any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts[1:-1])
        for match in homes.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def functions(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_functions_stay_short() -> None:
    lengths = sorted(length for path in python_files(*PACKAGES) for length in functions(path))
    p90, _ = lengths[int(len(lengths) * 0.9)]
    assert p90 < P90_LINES
    assert [found for found in lengths if found[0] > LONGEST_LINES] == []
