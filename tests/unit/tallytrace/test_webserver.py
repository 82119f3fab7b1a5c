import socket

import httpx
import pytest
from litestar import Litestar, get

from tallytrace.errors import NotServedError
from tallytrace.webserver import serving


@get("/", sync_to_thread=False)
def hello() -> str:
    return "hello"


def refuse_to_start() -> None:
    raise RuntimeError("no")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_served_inside_the_block_only() -> None:
    port = free_port()
    with serving(Litestar([hello], logging_config=None), "127.0.0.1", port, name="it"):
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, verify=False).text == "hello"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, verify=False)


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = f"it cannot listen on 127.0.0.1:{port}: Address already in use"
        app = Litestar([hello], logging_config=None)
        with pytest.raises(NotServedError, match=said), serving(app, "127.0.0.1", port, name="it"):
            pass


def test_an_application_that_does_not_start() -> None:
    broken = Litestar([hello], on_startup=[refuse_to_start], logging_config=None)
    with pytest.raises(NotServedError, match="it did not start"), serving(broken, "127.0.0.1", free_port(), name="it"):
        pass
