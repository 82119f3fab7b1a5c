"""What a browser asks of the pages' server, by the callbacks that the server names."""

from collections.abc import Mapping
from typing import Any

import httpx


def ask(
    client: httpx.Client, output: str, values: Mapping[str, object], *, by: str = "address.pathname"
) -> dict[str, Any]:
    """What comes of the callback that writes ``output`` ("page.children"), where something does.

    ``values`` by "id.property", None for what is not named; ``by`` is what changed.
    """
    described = next(
        one for one in client.get("/ui/_dash-dependencies").raise_for_status().json()
        if not one["clientside_function"] and output in one["output"].strip(".").split("...")
    )  # fmt: skip
    parts = [part.rpartition(".") for part in described["output"].strip(".").split("...")]
    outputs = [{"id": name, "property": prop} for name, _, prop in parts]
    asked = {
        "output": described["output"],
        "outputs": outputs if described["output"].startswith("..") else outputs[0],
        "changedPropIds": [by],
        **{
            side: [{**one, "value": values.get(f"{one['id']}.{one['property']}")} for one in described[side]]
            for side in ("inputs", "state")
        },
    }
    answer = client.post("/ui/_dash-update-component", json=asked)
    assert answer.status_code == 200, answer.text
    came: dict[str, Any] = answer.json()["response"]
    return came


def page_at(
    client: httpx.Client, path: str, query: str = "", shown: object = None, *, by: str = "address.pathname"
) -> dict[str, Any]:
    """The page of an address, for a viewer who is shown something already or nothing."""
    values = {"address.pathname": path, "address.search": query, "tick.n_intervals": 1, "shown.data": shown}
    return ask(client, "page.children", values, by=by)
