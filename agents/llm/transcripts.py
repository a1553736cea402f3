"""What was asked and answered, a file per episode: appended to and synced, so that no answered question is asked again.

A line is a JSON object: `question` (the digest of the whole request), `turns` (what the conversation has more than at
the line before), `answer`, and `reused` where another episode had the same question answered already. Nothing is random
in that: the same conversation has the same answer.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .replies import Answer

ELSE = "other"  # file of the questions of no known episode, such as a picture's


class Transcripts:
    """The transcripts of a folder; without one (None) nothing is kept but in memory."""

    def __init__(self, folder: Path | None):
        """Read what is there; a last line that is not whole, as its writer was killed, is left out."""
        self.folder = folder
        self._answers: dict[str, Answer] = {}
        self._written: dict[str, set[str]] = {}
        self._cut: dict[str, int] = {}  # file -> bytes of it that are whole, where some are not
        for path in sorted(folder.glob("*.jsonl")) if folder is not None and folder.is_dir() else []:
            self._read(path)

    def _read(self, path: Path) -> None:
        whole, known = 0, self._written.setdefault(path.stem, set())
        data = path.read_bytes()
        for line in data.splitlines(keepends=True):
            try:
                row = json.loads(line)
                answer = Answer.kept(row["answer"])
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            known.add(row["question"])
            self._answers.setdefault(row["question"], answer)
        if whole < len(data):
            self._cut[path.stem] = whole

    def known(self, question: str) -> Answer | None:
        """Return the answer to a question, by its digest; None where it was never answered."""
        return self._answers.get(question)

    def keep(self, episode: str, question: str, turns: list[dict[str, Any]], answer: Answer) -> None:
        """Write an answer down, at once and for good, unless the episode has it."""
        reused = question in self._answers
        self._answers.setdefault(question, answer)
        known = self._written.setdefault(episode, set())
        if question in known or self.folder is None:
            return
        known.add(question)
        row = {"question": question, "turns": turns, "answer": answer.plain()} | ({"reused": True} if reused else {})
        self.folder.mkdir(parents=True, exist_ok=True)
        if episode in self._cut:
            os.truncate(self.folder / f"{episode}.jsonl", self._cut.pop(episode))
        with open(self.folder / f"{episode}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def digest_of(request: Any) -> str:
    """Return what a request is known by: the hash of all that is sent."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]
