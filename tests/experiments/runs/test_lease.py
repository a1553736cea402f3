"""Leases: one holder, on one machine and across machines, which are pretended."""

import fcntl
import json
import multiprocessing
import os
import signal
import time

import pytest
from storelab.experiments.runs import lease
from storelab.experiments.runs.lease import STALE, Lease, Taken, holder, leased

FORK = multiprocessing.get_context("fork")


def another_machine(folder, age: float, number: int = 1):
    """A lease that a process of another machine renewed some seconds ago; its lock does not reach us."""
    path = folder / f".lease-{number}"
    path.write_text(json.dumps({"machine": "elsewhere", "host": "node7", "pid": 11}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_held_refused_and_free_again(tmp_path):
    assert holder(tmp_path) is None
    for _ in range(3):
        with leased(tmp_path) as held:
            assert holder(tmp_path).startswith(f"process {os.getpid()} on ")
            with pytest.raises(Taken, match=f"process {os.getpid()} on "):
                Lease(tmp_path)
            assert not held.lost
        assert holder(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [".lease-3"]


def test_a_killed_holder_of_this_machine_holds_nothing(tmp_path):
    ready = FORK.Event()
    process = FORK.Process(target=lambda: (Lease(tmp_path), ready.set(), time.sleep(60)))
    process.start()
    assert ready.wait(30)
    with pytest.raises(Taken, match=f"process {process.pid} on "):
        Lease(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with leased(tmp_path):
        pass


def test_another_machine_is_believed_while_its_lease_is_fresh(tmp_path):
    another_machine(tmp_path, age=STALE - 60)
    with pytest.raises(Taken, match="process 11 on node7"):
        Lease(tmp_path)
    path = another_machine(tmp_path, age=STALE + 1)
    with leased(tmp_path) as held:
        assert (held.number, path.exists()) == (2, False)
        another_machine(tmp_path, age=0, number=3)  # which takes it over in turn
        assert held.lost
    os.utime(tmp_path / ".lease-3", (0, 0))  # and lets it go
    assert holder(tmp_path) is None


def test_a_holder_of_another_machine_renews(tmp_path, monkeypatch):
    """Seen from elsewhere: the lock is not seen, nor the machine known."""
    monkeypatch.setattr(lease, "RENEWED", 0.02)
    with leased(tmp_path):
        (path,) = tmp_path.iterdir()
        os.utime(path, (1, 1))
        stop = time.monotonic() + 30
        while path.stat().st_mtime < time.time() - 60 and time.monotonic() < stop:
            time.sleep(0.01)
        monkeypatch.setattr(lease, "machine", lambda: "elsewhere")
        monkeypatch.setattr(fcntl, "flock", lambda *given: None)
        assert holder(tmp_path)


def _race(folder, go, taken, machine):
    lease.machine = lambda: machine
    fcntl.flock = lambda *given: None  # no lock reaches another machine
    go.wait()
    for _ in range(40):
        try:
            Lease(folder)
        except Taken:
            continue
        taken.put(machine)  # and never lets go
        return


@pytest.mark.slow
@pytest.mark.parametrize("stale", [False, True])
def test_of_several_that_try_at_once_one_wins(tmp_path, stale):
    for trial in range(10):
        folder = tmp_path / str(trial)
        folder.mkdir()
        if stale:
            another_machine(folder, age=STALE + 1, number=4)
        go, taken = FORK.Barrier(6), FORK.SimpleQueue()
        racers = [FORK.Process(target=_race, args=(folder, go, taken, str(machine))) for machine in range(6)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        winner = taken.get()
        assert taken.empty()
        assert [json.loads(path.read_text())["machine"] for path in folder.iterdir()] == [winner]
