"""What an episode of each task takes of a language model: its questions, and the tokens that it reads and writes.

    python -m storelab.experiments.studies.model_tokens

A scripted answer stands in: every decision is set to the middle of its range, then `end_period`, one question a period.
Tokens are counted as four characters each of the JSON that is sent and said: no tokenizer is loaded. Every question
sends the whole conversation again; the briefing, the same each time, is what endpoints cache. Tasks that need data of
the user's own are left out, and horizons are those of the tasks.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ...agents.llm import LLMParams, LLMPolicy
from ...agents.llm.replies import Answer, Call
from ...envs import TASKS, Task
from ...envs.play import Board
from ...envs.registry import entries
from ...evaluation import evaluate
from . import pages

PER_TOKEN = 4  # characters
SEED = 0  # of the one episode that is played


class Scripted:
    """Answers in place of a model."""

    def __init__(self, board: Board):
        middle = (board.low + board.high) / 2
        middle = middle // 1 if board.whole else middle.round(2)
        self.calls = []
        for name, place in board.places().items():
            values = [int(x) if board.whole else float(x) for x in middle[place]]
            given = {"value": values[0]} if len(values) == 1 else {"values": values}
            self.calls.append(Call(f"set_{name}", json.dumps(given)))
        self.calls.append(Call("end_period", "{}"))
        self.briefing = 0  # tokens of the first turn, with the tools

    def ask(self, questions: Sequence[list[dict]], tools: list[dict]) -> Iterator[tuple[int, Answer]]:
        """Yield the same answer to all questions."""
        said = _tokens([vars(call) for call in self.calls])
        for k, messages in enumerate(questions):
            self.briefing = _tokens([messages[0], tools])
            yield k, Answer("", self.calls, True, _tokens([messages, tools]), said)

    def cleaned(self, answer: Answer) -> Answer:
        """Return the answer."""
        return answer


def _tokens(value: Any) -> int:
    return len(json.dumps(value)) // PER_TOKEN


def measured(name: str, task: Task, memory: int) -> list[str]:
    """Return a row: periods, tokens of the briefing, and in thousands those of an episode, with its last periods in the
    conversation and without."""
    found, briefing = [], 0
    for periods in (memory, 0):
        policy = LLMPolicy(task, LLMParams(model="scripted", memory=periods, tokens=10**9, questions=10**6))
        policy._asker = scripted = Scripted(policy.board)  # pyright: ignore[reportAttributeAccessIssue]
        episodes = evaluate({"llm": policy}, task, [SEED])
        found.append(episodes.loc[episodes["policy"] == "llm"].iloc[0])
        briefing = scripted.briefing
    asked = [f"{row['tokens'] / 1000:,.0f}" for row in found]
    return [name, f"{found[0]['questions']:.0f}", f"{briefing:,}", *asked]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    known = [name for name, entry in entries().items() if not entry.data and entry.factory.startswith("storelab.envs.")]
    parser.add_argument("--tasks", nargs="+", choices=[*known, "Marketplace"], default=[*known, "Marketplace"])
    parser.add_argument("--memory", type=int, default=LLMParams.memory, help="earlier periods in the conversation")
    given = parser.parse_args()
    head = ["task", "questions", "tokens of the briefing", f"thousands of tokens, memory={given.memory}", "memory=0"]
    print(pages.markdown([head, *(measured(name, TASKS[name](), given.memory) for name in given.tasks)]), end="")


if __name__ == "__main__":
    main()
