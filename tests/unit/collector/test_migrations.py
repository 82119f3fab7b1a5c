"""SQL files become statements, applied once each, and say the same as the names they mirror."""

import re
from pathlib import Path

import pytest

from collector import migrations, semconv
from collector.migrations import MigrationError, Statement, load, pending, split_statements


def test_semicolons_in_texts_names_and_comments_end_nothing() -> None:
    text = """
    -- first; of two
    SELECT ';', 'it''s; \\'', "a;b", `c;d` /* not; here */ FROM t;
    SELECT 2 -- last;
    """
    assert split_statements(text) == ["""SELECT ';', 'it''s; \\'', "a;b", `c;d`  FROM t""", "SELECT 2"]


def test_every_statement_can_be_repeated() -> None:
    statements = load()
    assert len({(statement.version, statement.number) for statement in statements}) == len(statements)
    assert [statement.version for statement in statements] == sorted(statement.version for statement in statements)
    filled = [statement.sql.split()[2] for statement in statements if statement.sql.startswith("INSERT INTO ")]
    merged = [one for one in filled if any(f"{one}\n" in made.sql and re.search("(Aggregat|Replac)ing", made.sql)
                                           for made in statements)]  # fmt: skip
    assert filled == merged, "what is put in twice there counts once"
    others = [one.sql for one in statements if one.sql.split()[2] not in filled and " IF NOT EXISTS " not in one.sql]
    assert all(" MODIFY SETTING " in one for one in others)


def test_what_is_applied_is_not_needed_and_may_not_change() -> None:
    first, second = Statement(1, 1, "a", "SELECT 1"), Statement(1, 2, "a", "SELECT 2")
    assert pending([first, second], {(1, 1): first.digest}) == [second]
    with pytest.raises(MigrationError, match=r"0001_a\.sql, statement 1"):
        pending([first, second], {(1, 1): "another"})


def test_the_view_promotes_exactly_the_names_of_the_contract() -> None:
    view = (migrations.SQL / "0001_spans.sql").read_text().partition("otlp_to_spans TO spans AS")[2]
    promoted = re.findall(r"'(retail\.\w+)'", view.partition("AS promoted")[0])
    columns = [
        name
        for constant, name in vars(semconv).items()
        if constant.isupper() and isinstance(name, str) and name.startswith("retail.") and name != semconv.PREFIX
    ]
    assert promoted == columns + [semconv.PREFIX + key for key in semconv.KEY_NAMES]
    assert len(columns) == 29
    assert "range(1, 51)" in view


def test_the_receiving_table_mirrors_the_schema_of_requests() -> None:
    table = (migrations.SQL / "0001_spans.sql").read_text().partition("CREATE TABLE")[2].partition("ENGINE")[0]
    proto = (Path(migrations.__file__).parent / "otlp.proto").read_text()
    in_proto = set(re.findall(r"^\s+(?:repeated )?\w+ (\w+) = \d+;", proto, re.MULTILINE))
    in_table = set(re.findall(r"(?:^|[(\s,])([a-z_]+) (?:Array|Tuple|String|U?Int\d+|Float64|Bool|Enum8)", table))
    assert in_table - {"value"} == in_proto - {"value"}
