"""Hostile replies of a player: to the server of the Model Context Protocol, and to a language model's policy."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import storelab
from attack import Outcome, trial
from mcp_types import jsonrpc_message_adapter
from storelab.agents.llm import LLMParams, LLMPolicy
from storelab.envs import TASKS
from storelab.envs.play import Session
from storelab.envs.play.hostile import as_json, hostile_bodies, hostile_calls
from storelab.evaluation import evaluate

REPLIES = 1000
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "attack", "version": "1"}}
TRIED = ("Marketplace", "LostSales", "SupplyChain", "Pricing", "Dispatch", "PricingDuopoly", "PricingInventory")
LINES = (
    "no JSON",
    "{" * 5000,
    "[]",
    '""',
    "\x00\x01",
    '{"jsonrpc": "1.0", "id": 1, "method": "tools/call"}',
    '{"id": {}}',
)


def shown(counts: Counter[str]) -> str:
    """What was counted, most first."""
    return ", ".join(f"{n} {name}" for name, n in counts.most_common())


def request_of(number: int, method: str, params: object) -> str:
    """A request as a line."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def called(number: int, name: object, arguments: object) -> str:
    """A call as a line: as JSON has it, else with the texts of what JSON does not have."""
    try:
        return request_of(
            number, "tools/call", json.loads(json.dumps({"name": name, "arguments": arguments}, default=str))
        )
    except (ValueError, RecursionError, TypeError):
        return request_of(number, "tools/call", {"name": as_json(name), "arguments": as_json(arguments)})


def readable(request: str) -> bool:
    """Whether the SDK takes a line for a message: no half surrogates, no nesting of hundreds of levels."""
    try:
        return bool(jsonrpc_message_adapter.validate_json(request, by_name=False))
    except ValueError:
        return False


@trial
def hostile_mcp() -> list[Outcome]:
    """1,000 hostile lines to `storelab mcp` over standard input: the process lives, answers each call, and plays on."""
    session = Session(TASKS["LostSales"]())
    calls = [call for _, call in hostile_calls(session.tools(), REPLIES, seed=11)]
    with tempfile.TemporaryDirectory() as folder:
        words = ["task=LostSales", f"runs={folder}", "evaluation.tuning_episodes=2", "evaluation.episodes=2"]
        command = [sys.executable, "-P", "-m", "storelab", "mcp", *words]
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, env=env) as server:
            kinds: Counter[str] = Counter()

            def send(line: str) -> None:
                server.stdin.write((line + "\n").encode(errors="replace"))
                server.stdin.flush()

            def ask(number: int, request: str) -> dict:
                send(request)
                while (answer := json.loads(server.stdout.readline())).get("id") != number:
                    pass  # of a line that is no call
                return answer

            ask(-1, request_of(-1, "initialize", HELLO))
            send('{"jsonrpc": "2.0", "method": "notifications/initialized"}')
            for k, ((name, arguments), line) in enumerate(zip(calls, cycle(LINES))):
                if k % 4 == 0:
                    send(line)
                request = called(k, name, arguments)
                if not readable(request):  # the SDK drops it without a word, as it does a line that is no JSON
                    send(request)
                    kinds["dropped as unreadable"] += 1
                    continue
                answer = ask(k, request)
                error = answer.get("result", {}).get("isError")
                kinds["tool error" if error else "protocol error" if "error" in answer else "done"] += 1
            alive = server.poll() is None
            good = ask(REPLIES, called(REPLIES, "set_order", {"value": 5}))
            server.stdin.close()
            ended = server.wait(60) == 0
    tried = "hostile calls to `storelab mcp`, with lines that are none between them"
    return [
        Outcome(tried, REPLIES, sum(kinds.values()), shown(kinds)),
        Outcome("after them: alive, a good call is done, ends in peace", 3, alive + ("result" in good) + ended),
    ]


@trial
def hostile_play() -> list[Outcome]:
    """1,000 hostile calls to the desk of each task's environment: refused or done, all counted, never out of bounds."""
    outcomes = []
    for task in TRIED:
        session = Session(TASKS[task](), seed=1, calls_per_period=100)
        for _, (name, arguments) in islice(hostile_calls(session.tools(), REPLIES, seed=12), REPLIES):
            session.call(name, arguments)
        model, actions = session.model, session.actions
        inside = np.isfinite(actions) & (actions >= model.action_low - 1e-6) & (actions <= model.action_high + 1e-6)
        held = session.counters["calls"] if inside.all() else 0
        outcomes.append(Outcome(f"hostile calls on {task}", REPLIES, held, shown(session.refusals)))
    return outcomes


@trial
def hostile_model() -> list[Outcome]:
    """Hostile answers of an endpoint to the policy that asks it: each season ends, inside the bounds, all counted."""
    sys.path.append(str(Path(storelab.__file__).parent / "examples"))
    from stand_in_server import StandIn

    outcomes = []
    for name, changes in (("LostSales", {"horizon": 120}), ("Marketplace", {})):
        task = TASKS[name](**changes)
        bodies = cycle(hostile_bodies(Session(task).tools(), 10 * REPLIES, seed=13))
        with StandIn(answer=lambda question, bodies=bodies: next(bodies)) as server:
            params = LLMParams(model="hostile", base_url=server.url, memory=1, backoff=0.0, concurrency=4)
            policy, counts, played = LLMPolicy(task, params), Counter(), []
            for seed in range(1000):
                rows = evaluate({"llm": noting(policy, played)}, task, [seed])
                counts.update({key: int(values.sum()) for key, values in policy.tally().items()})
                assert np.isfinite(rows.loc[rows["policy"] == "llm", "value"]).all()
                if counts["questions"] >= REPLIES:
                    break
        model, actions = task.model("test"), np.concatenate(played)
        inside = np.isfinite(actions) & (actions >= model.action_low - 1e-6) & (actions <= model.action_high + 1e-6)
        held = counts["questions"] if inside.all() else 0
        del counts["tokens"], counts["spend"]
        outcomes.append(Outcome(f"answers of a hostile endpoint on {name}", counts["questions"], held, shown(counts)))
    return outcomes


def noting(policy: LLMPolicy, played: list[np.ndarray]):
    """The policy, with its actions kept."""

    def act(observation, state, seed):
        action, state = policy(observation, state, seed)
        played.append(action)
        return action, state

    return act
