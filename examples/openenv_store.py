"""A store as an OpenEnv environment: its tools by WebSocket, for whoever trains language models with OpenEnv.

    python openenv_store.py [TASK] [SEED]

It serves the task on the loopback and plays one scenario through OpenEnv's own client: a fixed order in every period.
It ran with openenv-core 0.3.0, gymnasium 1.4.0 and numpy 2.4.6, in an environment of its own (`pip install .
openenv-core`): OpenEnv brings packages that may clash with storelab's extras. To serve it to others:
`uvicorn openenv_store:app`, in this folder.
"""

import sys
import threading
import time
from typing import Any
from uuid import uuid4

import uvicorn
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.generic_client import GenericEnvClient
from pydantic import Field
from storelab.envs import TASKS
from storelab.envs.play import Session


class Call(Action):
    """A call of a tool; `refused` and told why, where it cannot be done."""

    tool: str
    arguments: Any = None


class Seen(Observation):
    """What the call came to; at the start of an episode, the briefing and the tools."""

    text: str
    refused: bool = False
    tools: list[dict[str, Any]] = Field(default_factory=list)


class Store(Environment[Call, Seen, State]):
    """A scenario of a task, by tools. The reward is 0 until the episode ends, then its money: profit, or minus cost."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, task: str = "LostSales", **changes: Any):
        super().__init__()
        self.task = TASKS[task](**changes)
        self._state = State()
        self.session = Session(self.task)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Seen:
        """Start the training scenario of a seed."""
        self.session = Session(self.task, seed or 0, split="train")
        self._state = State(episode_id=episode_id or str(uuid4()))
        text = f"{self.session.briefing()}\n\n{self.session.observation()}"
        return Seen(text=text, tools=[tool.plain() for tool in self.session.tools()])

    def step(self, action: Call, timeout_s: float | None = None, **kwargs: Any) -> Seen:
        """Call a tool. Calls after the end are refused and earn nothing."""
        over = self.session.done
        self._state.step_count += 1
        reply = self.session.call(action.tool, action.arguments)
        ended = self.session.done and not over
        sign = 1 if self.task.objective == "profit" else -1
        money = sign * self.session.value if ended else 0.0
        return Seen(text=reply.text, refused=reply.refused, done=self.session.done, reward=money)

    @property
    def state(self) -> State:
        """The episode's name, and how many tools were called in it."""
        return self._state


app = create_app(Store, Call, Seen, env_name="storelab")


def main(task: str = "LostSales", seed: int = 0) -> None:
    """Serve a task on a free port of the loopback, and play it by OpenEnv's client."""
    served = create_app(lambda: Store(task), Call, Seen, env_name="storelab")
    server = uvicorn.Server(uvicorn.Config(served, host="127.0.0.1", port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    with GenericEnvClient(base_url=f"http://127.0.0.1:{port}").sync() as client:
        seen = client.reset(seed=seed)
        tools = [tool["function"]["name"] for tool in seen.observation["tools"]]
        print("tools:", ", ".join(tools))
        refused = client.step({"tool": tools[0], "arguments": {"value": "seven"}})
        print(refused.observation["text"])
        client.step({"tool": tools[0], "arguments": {"value": 5}})
        while not seen.done:
            seen = client.step({"tool": "end_period"})
        print(seen.observation["text"])
        print("reward:", round(seen.reward, 2))
    server.should_exit = True


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
