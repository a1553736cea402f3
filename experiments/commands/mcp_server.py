"""A scenario's tools by the Model Context Protocol, with the official SDK: what `storelab mcp` serves."""

from collections.abc import Callable
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from anyio.to_thread import run_sync
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ... import __version__
from ...envs.play import Reply, Session, Tool

NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
BRIEFING = Tool("briefing", "the problem, its parameters, decisions and rules: read it first", NOTHING)
OBSERVATION = Tool("observation", "the current period's observation, again", NOTHING)
RESULTS = Tool("results", "once the episode has ended: what tuned heuristics and bounds come to on it", NOTHING)


def server_of(session: Session, results: Callable[[], Reply]) -> Server[Any]:
    """Return a server of one scenario: its tools, `briefing`, `observation` and `results`.

    What cannot be done comes back as a tool error, never as an error of the protocol.

    Args:
        session: the scenario.
        results: what the tool `results` answers once the episode has ended; it runs in a thread, and may wait.
    """
    tools = [BRIEFING, OBSERVATION, *session.tools(), RESULTS]
    shown = [types.Tool(name=tool.name, description=tool.description, input_schema=tool.parameters) for tool in tools]

    async def list_tools(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=shown)

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name == BRIEFING.name:
            reply = Reply(session.briefing())
        elif params.name == OBSERVATION.name:
            reply = Reply(session.observation())
        elif params.name == RESULTS.name and session.done:
            reply = await run_sync(results)
        elif params.name == RESULTS.name:
            reply = Reply("refused: the episode has not ended", refused=True)
        else:
            reply = session.call(params.name, params.arguments)
            if session.done and not reply.refused:
                reply = Reply(f"{reply.text}\nThe tool `{RESULTS.name}` tells what others come to on this scenario.")
        return types.CallToolResult(content=[types.TextContent(text=_utf8(reply.text))], is_error=reply.refused)

    said = f"A store is run here, period by period: {session.task.name}. Call `{BRIEFING.name}` first."
    return Server("storelab", version=__version__, instructions=said, on_list_tools=list_tools, on_call_tool=call_tool)


def _utf8(text: str) -> str:
    """Return a text without lone surrogates, which no message can hold."""
    return text.encode(errors="replace").decode()


def over_stdio(server: Server[Any]) -> None:
    """Serve one client over standard input and output, until it closes them."""

    async def serve() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(serve)


def over_http(server: Server[Any], port: int) -> None:
    """Serve on the loopback by streamable HTTP at /mcp, until it is stopped; all clients play the one scenario."""
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="warning")
