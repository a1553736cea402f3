"""A stand-in for a language model: an OpenAI-compatible chat endpoint on the loopback whose answers are scripted.

    python examples/stand_in_server.py --port 8765

It orders up to a level, and sets every other decision to a fixed share of its range, or to what `--set` says. It takes
any key and any model's name. Its tokens are counted as four characters each.
"""

import argparse
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POSITION = ("on_hand", "pipeline", "on_order", "arriving")  # features that count as stock, less the backlog


def script(question: dict, level: float = 30.0, share: float = 0.5, given: dict | None = None) -> list[dict]:
    """Return the tool calls of a question: every decision, then `end_period`.

    Args:
        question: the body of a chat completion's request.
        level: that what is on hand and on order is raised to, where there is a tool `set_order`.
        share: of a decision's range that it is set to elsewhere.
        given: tool -> its arguments, in place of these.
    """
    seen = next(turn["content"] for turn in reversed(question["messages"]) if turn["role"] == "user")
    calls = []
    for tool in question["tools"]:
        name, schema = tool["function"]["name"], tool["function"]["parameters"]["properties"]
        if name in (given or {}):
            calls.append({"name": name, "arguments": given[name]})
        elif name.startswith("set_"):
            numbers = schema["values"]["items"] if "values" in schema else schema["value"]
            low, high = numbers["minimum"], numbers["maximum"]
            value = low + share * (high - low)
            if name == "set_order":
                value = min(max(level - position(seen), low), high)
            value = int(value) if numbers["type"] == "integer" else round(value, 4)
            many = [value] * schema["values"]["minItems"] if "values" in schema else []
            calls.append({"name": name, "arguments": {"values": many} if many else {"value": value}})
    return [*calls, {"name": "end_period", "arguments": {}}]


def position(text: str) -> float:
    """Return what is on hand and on order less what is waited for, as an observation's lines have it."""
    total = 0.0
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in (*POSITION, "backlog"):
            numbers = sum(map(float, re.findall(r"(?<![\w.-])-?\d+(?:\.\d+)?(?!\w)", rest)))
            total += -numbers if name == "backlog" else numbers
    return total


class StandIn(ThreadingHTTPServer):
    """The server. `questions` are the bodies that it was asked with, in order."""

    daemon_threads = True

    def __init__(self, port: int = 0, answer=script):
        """Listen on the loopback; `answer` makes tool calls of a question, or gives a whole body as bytes."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.questions, self.answer, self.keys = [], answer, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.questions.append(question)
        self.server.keys.append(self.headers.get("Authorization"))
        answer = self.server.answer(question)
        if isinstance(answer, int):  # a state, such as 429
            self.send_error(answer)
            return
        body = answer if isinstance(answer, bytes) else completion(question, answer)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def completion(question: dict, calls: list[dict]) -> bytes:
    """Return the body of an answer with tool calls."""
    tools = [
        {"id": str(k), "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for k, c in enumerate(calls)
    ]
    usage = {"prompt_tokens": len(json.dumps(question)) // 4, "completion_tokens": len(json.dumps(calls)) // 4}
    message = {"role": "assistant", "content": None, "tool_calls": tools}
    return json.dumps({"choices": [{"index": 0, "message": message}], "usage": usage}).encode()


def main():
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--level", type=float, default=30.0, help="that orders raise the stock to")
    parser.add_argument("--share", type=float, default=0.5, help="of its range that any other decision is set to")
    parser.add_argument("--set", type=json.loads, default={}, help="JSON: tool -> its arguments")
    given = parser.parse_args()
    server = StandIn(given.port, lambda question: script(question, given.level, given.share, given.set))
    print(f"answers at {server.url}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
