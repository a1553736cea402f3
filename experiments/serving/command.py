"""`storelab serve`: its command line."""

import argparse
import os
import ssl
import sys
from pathlib import Path

from ...reading import MEGABYTE, check_file
from ..config.settings import ConfigError
from .access import RIGHTS, Keys, add_key

LOADERS = {"runs": "policies:Policy", "recommendation": "models:Recommend", "language": "models:load_language"}
LOADERS = {name: f"{__package__}.{load}" for name, load in (LOADERS | {"risk": "models:Fraud"}).items()}
LIBRARIES = {"runs": "torch", "recommendation": "torch", "language": "transformers", "risk": "lightgbm"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="storelab serve", description="Policies of finished runs and saved models behind HTTP.")
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="folder of a finished run; its task decides the route")
    folders = {"metavar": "DIR", "action": "append", "default": []}
    add("--recommendation", **folders, help="saved recommender, for the route recommend")
    add("--language", **folders, help="saved text classifier, for sentiment, or for answer if it knows intents")
    wording = (
        "generative checkpoint, hub name or folder, that words the help pages of answer (default: they are quoted)"
    )
    add("--writer", metavar="NAME", default="", help=wording)
    add("--risk", **folders, help="saved trees or sequence model, for the route fraud")
    add("--keys", metavar="FILE", required=True, help="JSON file with the API keys' hashes and rights")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=8000, help="0 to 65535; 0 takes a free port (%(default)s)")
    tls = {"metavar": "FILE", "default": ""}
    add("--tls-certificate", **tls, help="PEM of the certificate with its chain after it, for HTTPS")
    add("--tls-key", **tls, help="PEM of the certificate's private key, without a password")
    add("--add-key", metavar="NAME", help="make a key, add its hash to FILE, print the key once, and exit")
    add("--rights", metavar="RIGHT,...", default="", help=f"rights of the new key: {', '.join(RIGHTS)}")
    add("--per-second", type=float, default=100.0, help="requests per second that the new key may make (%(default)g)")
    return parser


def serve(args: list[str]) -> int:
    """Serve until it is stopped, or make a key; return the exit status."""
    try:
        options = _parser().parse_args(args)
        if options.add_key:
            rights = tuple(options.rights.split(",")) if options.rights else ()
            print(add_key(options.keys, options.add_key, rights, options.per_second))
            return 0
        check_tls(options.tls_certificate, options.tls_key)
        keys, slots = Keys.read(options.keys), _slots(options)
    except SystemExit as end:  # --help
        return end.code
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    from .app import create_app, stop_all
    from .logs import begin
    from .wire import run

    begin()
    try:
        return run(create_app(slots, keys), options.host, options.port, options.tls_certificate, options.tls_key)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        stop_all(slots)


def check_tls(certificate: str, key: str) -> None:
    """Raise ConfigError where HTTPS cannot be served with a certificate and its key; neither of both: HTTP."""
    if bool(certificate) != bool(key):
        raise ConfigError("--tls-certificate, --tls-key: one without the other is not allowed, expected both or none")
    if not certificate:
        return
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            check_file(path, MEGABYTE)
        except OSError as error:
            expected = f"expected a PEM file: {error.strerror}"
            raise ConfigError(f"--tls-{name}: {path!r} is not allowed, {expected}") from None
    asked = []
    try:
        chain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain.load_cert_chain(certificate, key, password=lambda: asked.append(key) or b"")
    except (ssl.SSLError, ValueError) as error:
        if asked:
            expected = "expected one without: openssl pkey -in KEY -out NEW takes it off"
            raise ConfigError(f"--tls-key: {key!r} has a password, which is not allowed, {expected}") from None
        reason = getattr(error, "reason", "") or "no PEM"
        said = f"{certificate!r} with {key!r} is not allowed"
        raise ConfigError(f"--tls-certificate: {said}, expected a PEM certificate and its key ({reason})") from None


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text[:6]) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not allowed, expected a whole number from 0 to 65535")
    return int(text)


def _slots(options) -> list:
    given = {name: getattr(options, name) for name in LOADERS if getattr(options, name)}
    if not given:
        raise ConfigError("RUN: none is not allowed, expected a run, --recommendation, --language or --risk")
    if options.writer and not options.language:
        raise ConfigError(f"--writer: {options.writer!r} is not allowed, expected --language with it")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # a model has a process, and no more than a core
        os.environ.setdefault(variable, "1")
    from .app import Slot, stop_all
    from .worker import CONTEXT

    modules = {LOADERS[name].partition(":")[0] for name in given} | {LIBRARIES[name] for name in given}
    CONTEXT.set_forkserver_preload(sorted(modules))
    slots = []
    try:
        for name, folders in given.items():
            for folder in folders:
                how = {"writer": options.writer} if options.writer and name == "language" else {}
                slots.append(Slot(Path(folder), LOADERS[name], **how))
    except BaseException:
        stop_all(slots)
        raise
    return slots
