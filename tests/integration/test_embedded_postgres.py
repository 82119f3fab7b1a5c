"""The embedded PostgreSQL server, started, shared, killed and found again."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import psutil
import psycopg
import pytest

from tallytrace import postgres
from tallytrace.errors import PostgresError

HOLDER = """
import sys, pathlib, time
from tallytrace import postgres
with postgres.serving(pathlib.Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]))


def runs(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


def put(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [number])


def numbers(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number")]


@contextmanager
def another_process(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", HOLDER, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def test_data_outlives_the_server_and_is_private(home: Path) -> None:
    with postgres.serving(home) as url:
        put(url, 1)
        assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
        with psycopg.connect(url) as connection:
            shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in postgres.OPTIONS}
            assert shown["listen_addresses"] == ("",)
            for durable in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
                assert connection.execute(f"SHOW {durable}").fetchone() == ("on",)
    assert not runs(home)
    with postgres.serving(home) as url:
        assert numbers(url) == [1]


def test_the_last_to_leave_stops_it(home: Path) -> None:
    with another_process(home) as (url, other):
        with postgres.serving(home) as same:
            assert same == url
            put(same, 1)
        assert numbers(url) == [1]
        other.kill()
        other.wait()
        assert numbers(url) == [1], "the server of a process that was killed goes on"
    server = postmaster(home)
    with postgres.serving(home) as again:
        assert postmaster(home).pid == server.pid, "and is found again"
        put(again, 2)
    assert not runs(home)


def test_a_server_that_is_killed_is_started_again(home: Path) -> None:
    with postgres.serving(home) as url:
        put(url, 1)
        before = postmaster(home)
        with psycopg.connect(url):  # its process holds the shared memory for a moment longer
            before.kill()
            while before.is_running() and before.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            postgres.revive(home)
        assert postmaster(home).pid != before.pid
        assert numbers(url) == [1]
        after = postmaster(home)
        postgres.revive(home)
        assert postmaster(home).pid == after.pid


def test_everything_killed_at_once_recovers(home: Path) -> None:
    with another_process(home) as (url, other):
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT n AS number FROM generate_series(1, 300000) n")
        os.kill(postmaster(home).pid, signal.SIGKILL)
        other.kill()
    with postgres.serving(home) as url:
        assert len(numbers(url)) == 300_000


def test_a_pid_file_that_names_another_program_is_stale(home: Path) -> None:
    with postgres.serving(home) as url:
        put(url, 1)
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{home}/postgres\n0\n5432\n\n\n\nready\n")
    with postgres.serving(home) as url:
        assert numbers(url) == [1]
        assert postmaster(home).pid != os.getpid()


def test_a_home_too_deep_for_a_socket(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with postgres.serving(deep) as url:
        put(url, 1)
        assert numbers(url) == [1]
        sockets = Path(unquote(url.partition("host=")[2]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not sockets.exists()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    with postgres.serving(home):
        pass
    (home / "postgres" / "postgresql.auto.conf").write_text("no_such_option = 1\n")
    with pytest.raises(PostgresError, match="no_such_option"), postgres.serving(home):
        pass
