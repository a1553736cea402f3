"""The scripted stand-in for an endpoint, as the examples have it, on the loopback."""

import importlib.util
import sys
from pathlib import Path

import pytest
import storelab


@pytest.fixture(scope="session")
def stand_in():
    """The module of the stand-in server."""
    path = Path(storelab.__path__[0]) / "examples" / "stand_in_server.py"
    spec = importlib.util.spec_from_file_location("stand_in_server", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(stand_in, monkeypatch):
    """A server whose key is in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with stand_in.StandIn() as running:
        yield running
