"""`storelab mcp`: one scenario of a task as a server of the Model Context Protocol, with the heuristics' results at its
end."""

import subprocess
import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from ...envs import Task
from ...envs.play import Reply, Session
from ...evaluation import HINDSIGHT, REFERENCE
from ...evaluation import evaluate as played
from ..config.schemas import McpParams
from ..config.settings import Settings, read, read_mcp, within
from ..experiment import restore
from ..inputs import build, data_hash
from ..runs.folder import Run
from ..tasks.messages import mail_of
from .mcp_server import over_http, over_stdio, server_of

WAIT = 30.0  # seconds that `results` waits for the heuristics
YOU = "you"  # the player's row


def mcp(config: DictConfig) -> None:
    """Serve a scenario until the client is gone; what was counted is told on the standard error."""
    params, rest = read_mcp(config)
    settings = read(rest)
    task = build(settings)
    mail = mail_of(task, params.scenario)
    with within(""):
        session = Session(task, params.scenario, mail=mail)
    bars = Bars(settings, [word for word in sys.argv[1:] if word.partition("=")[0] not in McpParams.own()])

    def results() -> Reply:
        said = bars.results(session)
        if mail is not None and not said.refused:
            return Reply(f"{said.text}\n\nMessages: " + ", ".join(f"{n} {name}" for name, n in mail.counters.items()))
        return said

    server = server_of(session, results)
    try:
        over_stdio(server) if params.transport == "stdio" else over_http(server, params.port)
    finally:
        bars.close()
        print(counted(session), file=sys.stderr)


def counted(session: Session) -> str:
    """Return in a line how far a scenario was played, and what was counted."""
    numbers = {**session.counters, **{f"refused as {reason}": n for reason, n in session.refusals.items()}}
    said = ", ".join(f"{n} {name}" for name, n in numbers.items())
    return f"{session.task.name}, scenario {session.seed}, {'ended' if session.done else 'not ended'}: {said}"


class Bars:
    """What a scenario is measured against: the tuned heuristics of the task's run, made by a process beside the server
    where it is not finished yet."""

    def __init__(self, settings: Settings, words: Sequence[str]):
        """Begin the run of `storelab train` with these words, unless it is finished."""
        self.run, self.process = Run.of(settings, data_hash(settings)), None
        if not self.run.done:
            command = [sys.executable, "-m", "storelab", "train", *words]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())

    def results(self, session: Session) -> Reply:
        """Return the table of all who played the scenario; refused while the heuristics are being tuned, and where
        their run failed."""
        if self.process is not None:
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                return Reply("not yet: the heuristics are still being tuned, call `results` again", refused=True)
        if not self.run.done:
            return Reply(
                f"the heuristics' run failed: {self.run.folder}, see the server's standard error", refused=True
            )
        return Reply(standings(self.run, session))

    def close(self) -> None:
        """End the process, if there is one; the same command goes on with its run."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def standings(run: Run, session: Session) -> str:
    """Return a Markdown table of a played scenario: the player, and a finished run's policies and bounds on it."""
    experiment = restore(run)
    task: Task = experiment.task
    known = experiment.reference.policy if experiment.reference else None
    policies = experiment.policies | ({REFERENCE: known} if known else {})
    rows = played(policies, task, [session.seed])
    values = dict(zip(rows["policy"], rows["value"], strict=True)) | {YOU: session.value}
    sign = 1 if task.objective == "profit" else -1
    names = sorted(values, key=lambda name: -sign * values[name])
    kinds = {
        YOU: "this episode",
        HINDSIGHT: "known only afterwards: a bound",
        REFERENCE: "attains the task's reference",
    }
    kinds |= {name: "heuristic" for name in experiment.heuristics} | dict.fromkeys(experiment.compared, "agent")
    table = [
        [name, f"{values[name]:,.2f}", f"{sign * (values[YOU] - values[name]):+,.2f}", kinds.get(name, "pre-trained")]
        for name in names
    ]
    head = ["who", f"{task.objective}, {task.unit}", "you are ahead by", "what it is"]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *table))
    refused = ", ".join(f"{reason} {count}" for reason, count in session.refusals.items()) or "none"
    return f"{session.result()}\nRefusals: {refused}.\nOn the same scenario:\n\n{lines}"
