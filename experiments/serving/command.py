"""`storelab serve`: its command line."""

import argparse
import logging
import sys
from pathlib import Path

from ..config.settings import ConfigError
from .access import RIGHTS, Keys, add_key


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="storelab serve", description="Policies of finished runs and saved models behind HTTP.")
    add = parser.add_argument
    add(
        "runs", nargs="*", metavar="RUN", help="folder of a finished run: restock, price, dispatch or store by its task"
    )
    folders = {"metavar": "DIR", "action": "append", "default": []}
    add("--recommendation", **folders, help="saved recommender: recommend")
    add("--language", **folders, help="saved text classifier: sentiment, or, of intents, answer")
    add("--risk", **folders, help="saved trees or sequence model: fraud")
    add("--keys", metavar="FILE", required=True, help="JSON of the API keys' sums and rights")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8000, help="(%(default)s)")
    add("--add-key", metavar="NAME", help="make a key, add its sum to FILE, print the key once, and end")
    add("--rights", metavar="RIGHT,...", default="", help=f"of the new key: {', '.join(RIGHTS)}")
    add("--per-second", type=float, default=100.0, help="requests that the new key may make (%(default)g)")
    return parser


def serve(args: list[str]) -> int:
    """Serve until it is stopped, or make a key; return the exit status."""
    try:
        options = _parser().parse_args(args)
        if options.add_key:
            rights = tuple(options.rights.split(",")) if options.rights else ()
            print(add_key(options.keys, options.add_key, rights, options.per_second))
            return 0
        app = _app(options, Keys.read(options.keys))
    except SystemExit as end:  # --help
        return end.code
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # uvicorn's access log would have the caller's address.
    uvicorn.run(app, host=options.host, port=options.port, access_log=False, server_header=False)
    return 0


def _app(options, keys: Keys):
    loaders = {}
    if options.runs:
        from .policies import Policy

        loaders["runs"] = Policy
    if options.recommendation or options.language or options.risk:
        from . import models

        loaders |= {"recommendation": models.Recommend, "language": models.load_language, "risk": models.Fraud}
    if not loaders:
        raise ConfigError("RUN: none is not allowed, expected a run, --recommendation, --language or --risk")
    from .app import Slot, create_app

    slots = [Slot(Path(folder), load) for name, load in loaders.items() for folder in getattr(options, name)]
    return create_app(slots, keys)
