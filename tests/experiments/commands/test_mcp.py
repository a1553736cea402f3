"""`storelab mcp`: the SDK's own client plays a season; bad calls are tool errors; hostile lines end nothing."""

import json
import os
import sys
from io import StringIO

import pytest
from storelab.envs import TASKS
from storelab.envs.play import Reply, Session
from storelab.evaluation import evaluate
from storelab.experiments.commands.mcp_server import server_of

mcp = pytest.importorskip("mcp")
anyio = pytest.importorskip("anyio")
SHORT = {"horizon": 6, "items": 4, "page_size": 2}


def play(session: Session, script, results=lambda: Reply("the table")) -> None:
    """Let the SDK's client, in this process, run an async script."""

    async def run() -> None:
        async with mcp.Client(server_of(session, results)) as client:
            await script(client)

    anyio.run(run)


def text(result) -> str:
    return result.content[0].text


def test_a_season_of_the_marketplace_is_that_of_the_same_decisions():
    task = TASKS["Marketplace"](**SHORT)
    session, model = Session(task, seed=3), task.model("test")
    action = {name: [0.5] * part.numbers for name, part in model.action_parts.items()}

    async def script(client):
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"briefing", "observation", "end_period", "note", "read_notes", "results", "set_price"} <= set(names)
        assert "Marketplace" in text(await client.call_tool("briefing"))
        early = await client.call_tool("results")
        assert early.is_error
        for name, values in action.items():
            given = {"value": values[0]} if len(values) == 1 else {"values": values}
            assert not (await client.call_tool(f"set_{name}", given)).is_error
        for day in range(SHORT["horizon"]):
            assert f"Period {day + 1} of" in text(await client.call_tool("observation"))
            ended = await client.call_tool("end_period")
        assert "The episode has ended" in text(ended)
        assert text(await client.call_tool("results")) == "the table"
        assert (await client.call_tool("end_period")).is_error

    play(session, script)
    flat = [number for values in action.values() for number in values]
    same = evaluate({"same": lambda observation, state, seed: ([flat], state)}, task, [3])
    assert session.value == pytest.approx(same.loc[same["policy"] == "same", "value"].item(), rel=1e-6)


def test_bad_arguments_are_tool_errors_and_counted():
    session = Session(TASKS["LostSales"](horizon=120), seed=0)
    calls = [
        ("set_order", {"value": -1}),
        ("set_order", {"value": float("nan")}),
        ("set_order", {"value": "7"}),
        ("set_order", {"values": [1]}),
        ("set_order", {}),
        ("../../etc/passwd", {}),
        ("end_period", {"now": True}),
        ("note", {"text": "x" * 10_000}),
    ]

    async def script(client):
        for name, arguments in calls:
            answer = await client.call_tool(name, arguments)
            assert answer.is_error, name
            assert text(answer).startswith("refused: ")

    play(session, script)
    assert session.counters["refused"] == sum(session.refusals.values()) == len(calls)
    assert session.counters["periods"] == 0


def test_hostile_lines_end_nothing_and_leave_the_wire_whole():
    """Lines that are no requests, among requests: each request is answered, in lines of JSON alone."""
    from mcp.server.stdio import stdio_server

    session = Session(TASKS["LostSales"](horizon=120), seed=0)
    session.desk.notes = "a lone \ud800 surrogate"  # as a model's JSON may bring one
    call = lambda k, name, arguments: json.dumps(
        {"jsonrpc": "2.0", "id": k, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    )
    start = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": start}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "no json",
        "{" * 5000,
        "[]",
        "",
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}',
        '{"jsonrpc": "2.0", "id": 2, "method": "../../x", "params": {}}',
        call(3, "set_order", "no object"),
        call(4, "set_order", {"value": 1e400}),
        call(5, "read_notes", {}),
        call(6, "set_order", {"value": 4}),
    ]
    written = StringIO()

    async def incoming():
        for line in lines:
            yield line
        while '"id":6' not in written.getvalue():  # the end of input would cancel what is not answered yet
            await anyio.sleep(0.01)

    async def run() -> None:
        server = server_of(session, lambda: Reply(""))
        with anyio.fail_after(20):
            async with stdio_server(incoming(), anyio.wrap_file(written)) as (read, write):
                await server.run(read, write, server.create_initialization_options())

    anyio.run(run)
    answers = {one.get("id"): one for one in map(json.loads, written.getvalue().splitlines())}
    assert {0, 1, 2, 3, 4, 5, 6} <= set(answers)
    assert answers[4]["result"]["isError"]
    assert "lone ? surrogate" in answers[5]["result"]["content"][0]["text"]
    assert not answers[6]["result"].get("isError")


@pytest.mark.slow
def test_the_command_serves_and_tells_the_heuristics_results(tmp_path):
    """Over standard input and output, as a host starts it: the table has the player beside heuristics and optimum."""
    from mcp.client.stdio import StdioServerParameters, stdio_client

    words = ["task=LostSales", "env.horizon=120", "evaluation.tuning_episodes=2", "evaluation.episodes=2", "scenario=5"]
    command = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "storelab", "mcp", *words],
        cwd=tmp_path,
        env={**os.environ},
    )

    async def run() -> str:
        async with mcp.Client(stdio_client(command)) as client:
            await client.call_tool("set_order", {"value": 5})
            for _ in range(120):
                ended = await client.call_tool("end_period")
            assert "The episode has ended" in text(ended)
            while (answer := await client.call_tool("results")).is_error:
                assert "not yet" in text(answer)
            return text(answer)

    shown = anyio.run(run)
    for row in ("| you |", "| base_stock |", "| reference policy |", "Refusals: none"):
        assert row in shown
