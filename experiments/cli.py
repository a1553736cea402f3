"""The command line: `storelab COMMAND [key=value ...]`. Heavy imports are made by the command that needs them."""

import difflib
import os
import sys

from .. import __version__

USAGE = """usage: storelab COMMAND [key=value ...] [--help]

  train      run one experiment: data, forecaster, tuned heuristics, agent, evaluation, report; a killed run goes on
  tune       search an agent's hyper-parameters; each trial is a run, and a killed search goes on
  backtest   compare a forecaster with baselines on rolling origins of a store's data
  explain    explain one item's forecast by its features and past days, in units
  benchmark  compare a suite's learners, several seeds each, with all heuristics: benchmark SUITE; or play
             others' benchmarks: benchmark vn2, inventorybench, euro_neurips, gym_invmgmt
  fit        train, measure and save one of the store's models: recommendation, ratings, reviews, questions, fraud
  evaluate   judge a run's policies on other held-out scenarios; with --policy your own, beside the heuristics
  watch      animate a run's agent beside the best heuristic on the same scenario: watch RUN
  mcp        serve a scenario of a task as tools (Model Context Protocol), with the heuristics' results at its end
  dataset    write transitions of a run's policy for offline learning, in Minari's format
  report     make the table and report of a finished run anew; of a folder of runs: report FOLDER
  runs       list, show, compare and clean runs
  demo       run `train` on a small synthetic store with forecasts
  serve      serve policies of finished runs and saved models over HTTP
  check      show how a file of sales is read, and what looks wrong in it: check FILE
  audit      search the folder of a run or a saved model for raw identifiers of customers: audit FOLDER
  forget     delete a customer from tables, and name the models to fit anew: forget CUSTOMER --data PATH
  encrypt    encrypt tables at rest, make and change their keys: encrypt PATH
  doctor     show versions, device, missing extras and writable folders

storelab COMMAND --help shows a command's groups and keys. storelab train --multirun seed=0,1,2 runs a sweep;
--dry-run shows what would run and what is finished.
storelab --version; python -m storelab is the same as storelab.
Tab completion: eval "$(storelab -sc install=bash)"
Errors are one line; STORELAB_TRACEBACK=1 shows where they come from."""
CONTESTS = ("vn2", "inventorybench", "euro_neurips", "gym_invmgmt")  # other people's benchmarks
HYDRA = ("train", "tune", "backtest", "explain", "fit", "benchmark", "evaluate", "watch", "mcp", "dataset", "report")
HYDRA += ("demo",)
COMMANDS = (*HYDRA, "runs", "serve", "check", "audit", "forget", "encrypt", "doctor")
GOES_ON = {
    **dict.fromkeys(("train", "tune", "demo", "fit"), ": the same command goes on from the last checkpoint"),
    "backtest": ": the same command goes on with the forecasters that are left",
}


def main() -> int:
    """Run a command; return the exit status: 0, 1 for a failure, 2 for a bad command line or config, 130 for Ctrl-C."""
    command, *args = sys.argv[1:] or ["--help"]
    try:
        status = _run(command, args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:  # here, as it may come while the libraries load
        print(f"interrupted{GOES_ON.get(command, '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has to go somewhere
        return 1
    except ImportError as error:
        from .extras import missing

        told = None if os.environ.get("STORELAB_TRACEBACK") == "1" else missing(error, command)
        if told is None:
            raise
        print(told, file=sys.stderr)
        return 2


def _run(command: str, args: list[str]) -> int:
    if command in ("--help", "-h", "help"):
        print(USAGE)
        return 0
    if command == "--version" or args == ["--version"]:
        print(f"storelab {__version__}")
        return 0
    if command in ("-sc", "--shell-completion"):
        return _complete(args)
    if command == "doctor":
        from .commands.doctor import doctor

        return doctor(args)
    if command == "check":
        from .commands.check import check

        return check(args)
    if command == "audit":
        from .commands.audit import audit_folder

        return audit_folder(args)
    if command == "forget":
        from .commands.forget import forget

        return forget(args)
    if command == "encrypt":
        from .commands.encrypt import encrypt

        return encrypt(args)
    if command == "runs":
        from .commands.runs import runs

        return runs(args)
    if command == "serve":
        from .serving.command import serve

        return serve(args)
    if command == "report" and len(args) == 1 and "=" not in args[0] and not args[0].startswith("-"):
        from .reports.sweep import sweep_report

        return sweep_report(args[0])
    if command == "benchmark" and args and args[0] in CONTESTS:
        from .commands.outside import contest

        return contest(args[0], args[1:])
    if command in HYDRA:
        from .commands.compose import run

        return run(command, args)
    near = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "expected one of " + ", ".join(COMMANDS)
    print(f"{command}: no such command, {hint}", file=sys.stderr)
    return 2


def _complete(args: list[str]) -> int:
    """Print what the line in COMP_LINE may go on with, as the shell's function asks for it; else leave it to Hydra."""
    if not args or not args[0].startswith("query="):
        from .commands.compose import run

        return run("train", ["-sc", *args])
    line = os.environ.get("COMP_LINE", "")
    _, command, rest = (*line.split(maxsplit=2), "", "", "")[:3]
    if not rest and not (command and line.endswith(" ")):
        print(" ".join(name for name in COMMANDS if name.startswith(command)))
    elif command in HYDRA:
        from .completion import complete

        *words, last = [*rest.split(), ""] if line.endswith(" ") else rest.split()
        print(" ".join(complete(command, words, last)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
