"""What the tests of hostile configs share: a pickle that would leave a mark."""

import os
import pickle

import pytest


class Gadget:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def pickled(tmp_path):
    """Return a pickle in the test's folder that makes the folder `ran` beside it when it is loaded."""
    path = tmp_path / "gadget.pkl"
    path.write_bytes(pickle.dumps(Gadget(tmp_path / "ran")))
    return path
