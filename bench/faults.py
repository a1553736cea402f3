"""The faults that a run has to bear, each by one command that prints its count; exits with 1 where one did harm.

    python -P bench/faults.py resume [--learner ppo|sac|pathwise] [--trials 50]
    python -P bench/faults.py checkpoints [--trials 200]
    python -P bench/faults.py disk [--trials 20]      # mounts a small tmpfs: root on Linux
    python -P bench/faults.py sweeps [--trials 20]
    python -P bench/faults.py half [--launcher joblib|ray|submitit_local] [--seeds 8]  # 2 tasks x 3 agents x seeds

`resume`: a run killed (kill -9) at a random moment after it began to learn, continued, bit-equal to one that was not.
`checkpoints`: a flipped byte, a truncation, an emptied, lost or added file in the newest checkpoint: named, and the one
before used. `disk`: the disk fills up while a run learns: a message of one line, the last checkpoint whole, and the run
goes on to the same result once there is room. `sweeps`: a sweep of four runs killed at a random moment, repeated: all
are there, none was done twice. `half`: a sweep on two workers, killed with them when half of its runs are done,
repeated, reported. Everything happens in a temporary folder. bench/gadgets.py offers pickles to all loaders.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from storelab.experiments.runs.checkpoints import damage, newest_whole, steps

SMALL = (
    *("train", "task=LostSales", "env.horizon=60", "evaluation.episodes=8", "evaluation.tuning_episodes=4"),
    *("evaluation.curve_episodes=4", "agent.device=cpu", "agent.net_arch=[8]"),
)
LEARNERS = {
    "ppo": (
        *("agent=ppo", "agent.threads=1", "agent.total_steps=4096", "agent.num_envs=8", "agent.hyper.n_steps=16"),
        *("agent.hyper.batch_size=64", "agent.hyper.n_epochs=2", "checkpoint_every=512"),
    ),
    "sac": (
        *("agent=sac", "env.action=continuous", "agent.threads=1", "agent.num_envs=4", "agent.total_steps=800"),
        *("agent.hyper.buffer_size=500", "agent.hyper.batch_size=16", "agent.hyper.learning_starts=100"),
        *("agent.hyper.gradient_steps=1", "checkpoint_every=100"),
    ),
    "pathwise": (
        *("agent=pathwise", "env.action=continuous", "agent.num_envs=16", "agent.total_steps=120"),
        *("agent.held_out=8", "checkpoint_every=15"),
    ),
}
HALF = (
    *SMALL[:1],
    *("task=LostSales,FixedCost", "agent=ppo,a2c,dqn", "--multirun", *SMALL[2:]),
    *("agent.threads=1", "agent.total_steps=2048", "agent.num_envs=8", "checkpoint_every=512", "experiment=half"),
)
WORKERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "ray": ("+hydra.launcher.ray.init.num_cpus=2",),
    "submitit_local": ("hydra.launcher.timeout_min=60", "hydra.launcher.cpus_per_task=1"),
}
MODULES = ["storelab.experiments.commands.compose", "storelab.experiments.reports.plots", "storelab.agents.sb3.learner"]
MODULES += ["torch.utils.tensorboard", "matplotlib.backends.backend_svg"]
SERVER = multiprocessing.get_context("forkserver")  # most of a small run's time is imports: they are done once


def _command(folder: Path, args: tuple[str, ...]) -> None:
    os.setsid()
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    sys.argv = ["storelab", *args]
    from storelab.experiments.cli import main

    status = main()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)  # at once: multiprocessing would wait for idle workers of a launcher


def start(folder: Path, *args: str):
    """Start a command in a folder; its output goes to `log` there (to the parent's where the disk is full)."""
    folder.mkdir(parents=True, exist_ok=True)
    process = SERVER.Process(target=_command, args=(folder, args))
    process.start()
    return process


def finish(folder: Path, *args: str) -> int:
    """Run a command to its end; return the exit status."""
    process = start(folder, *args)
    process.join()
    return process.exitcode


def kill(process) -> bool:
    """kill -9 to a command and its workers; return whether it was still running."""
    running = process.is_alive()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return running


def run_of(folder: Path) -> Path:
    """The one run folder."""
    (config,) = folder.glob("runs/*/*/config.yaml")
    return config.parent


def result(run: Path) -> tuple[bytes, bytes]:
    """What has to be bit-equal: the policy's weights and all held-out episodes."""
    last = run / "checkpoints" / str(steps(run / "checkpoints")[-1])
    return (last / "policy.safetensors").read_bytes(), (run / "eval.parquet").read_bytes()


def until(condition, process, seconds: float = 300, every: float = 0.002) -> None:
    """Wait for a condition, or the process's end; look every so many seconds."""
    stop = time.monotonic() + seconds
    while not condition() and process.is_alive() and time.monotonic() < stop:
        time.sleep(every)


def resume(root: Path, trials: int, learner: str) -> int:
    """Count runs that ended bit-equal after a kill."""
    args = (*SMALL, *LEARNERS[learner])
    began = lambda folder: list(folder.glob("runs/*/*/tensorboard")) or list(folder.glob("runs/*/*/metrics.jsonl"))
    straight, process = root / "straight", start(root / "straight", *args)
    until(lambda: began(straight), process)
    at = time.monotonic()
    process.join()
    takes, whole = time.monotonic() - at, result(run_of(straight))
    equal = late = 0
    for trial in range(trials):
        folder = root / str(trial)
        process = start(folder, *args)
        until(lambda: began(folder), process)  # noqa: B023
        time.sleep(random.uniform(0, 0.9 * takes))
        late += not kill(process)
        equal += finish(folder, *args) == 0 and result(run_of(folder)) == whole
        shutil.rmtree(folder)
    print(f"{learner}: {trials - late} of {trials} killed in time; {equal} of {trials} bit-equal to the straight run")
    return trials - equal


def harm(folder: Path) -> str:
    """Do something to a checkpoint; return what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, kind = random.choice(files), random.choice(("flipped", "truncated", "emptied", "lost", "added"))
    content = bytearray(path.read_bytes())
    if kind == "flipped" and content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)
    elif kind == "truncated" and content:
        path.write_bytes(content[: random.randrange(len(content))])
    elif kind == "lost":
        path.unlink()
    elif kind == "added":
        (folder / "more.npz").write_bytes(bytes(content))
    else:
        path.write_bytes(b"" if content else b"x")
    return f"{path.name} {kind}"


def checkpoints(root: Path, trials: int) -> int:
    """Count damaged checkpoints that were noticed, of those of PPO and SAC."""
    runs = {}
    for learner in ("ppo", "sac"):
        if finish(root / learner, *SMALL, *LEARNERS[learner]):
            raise SystemExit((root / learner / "log").read_text())
        runs[learner] = run_of(root / learner) / "checkpoints"
    noticed = 0
    for trial in range(trials):
        spoilt = shutil.copytree(runs[("ppo", "sac")[trial % 2]], root / "spoilt")
        before, newest = steps(spoilt)[-2:]
        what, said = harm(spoilt / str(newest)), []
        fine = bool(damage(spoilt / str(newest))) and newest_whole(spoilt, said.append) == spoilt / str(before)
        noticed += fine and len(said) == 1
        if not fine:
            print(f"not noticed: {what}")
        shutil.rmtree(spoilt)
    print(f"{noticed} of {trials} damaged checkpoints noticed, and the one before used")
    return trials - noticed


def disk(root: Path, trials: int) -> int:
    """Count full disks that left the last checkpoint whole, one line of message and a run that goes on."""
    args = (*SMALL, *LEARNERS["ppo"])
    straight = root / "straight"
    if finish(straight, *args):
        raise SystemExit((straight / "log").read_text())
    whole, fine, full = result(run_of(straight)), 0, 0
    place = root / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], check=True)
    try:
        for trial in range(trials):
            folder, log = place / "work", root / f"log-{trial}"
            folder.mkdir()
            (folder / "log").symlink_to(log)  # the message is not to be lost with the disk
            process = start(folder, *args)
            kept = folder / "runs"
            until(lambda: [s for c in kept.glob("*/*/checkpoints") for s in steps(c)], process)  # noqa: B023
            room = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
            left = random.randrange(0, 60_000)
            (place / "filler").write_bytes(bytes(max(0, room - left)))
            process.join()
            met = process.exitcode != 0
            full += met
            last = newest_whole(run_of(folder) / "checkpoints", lambda said: None)
            lines = [line for line in log.read_text().splitlines() if "o space left" in line and "|" not in line]
            (place / "filler").unlink()
            reported = not met or (len(lines) == 1 and "Traceback" not in log.read_text())
            again = finish(folder, *args) == 0 and result(run_of(folder)) == whole
            fine += bool(last) and reported and again
            if not (last and reported and again):
                end = log.read_text()[-2000:]
                print(f"trial {trial}: checkpoint {last}, reported {reported}, went on {again}:\n{end}")
            shutil.rmtree(folder)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    print(f"{full} of {trials} met the full disk; {fine} of {trials} kept a whole checkpoint, said so and went on")
    return trials - fine


def done(folder: Path) -> dict[str, int]:
    """Finished run -> when it was (ns)."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/DONE")}


def sweeps(root: Path, trials: int) -> int:
    """Count sweeps that were whole after their repetition, with nothing done twice."""
    args = ("train", "agent=heuristics", "env.horizon=60", "evaluation.tuning_episodes=4", "evaluation.episodes=64")
    args = (*args, "seed=0,1,2,3", "--multirun")
    at = time.monotonic()
    finish(root / "straight", *args)
    takes, fine, before_it = time.monotonic() - at, 0, 0
    for trial in range(trials):
        folder = root / str(trial)
        process = start(folder, *args)
        time.sleep(random.uniform(0.1, 0.95) * takes)
        kill(process)
        before = done(folder)
        before_it += len(before)
        status, after = finish(folder, *args), done(folder)
        fine += status == 0 and len(after) == 4 and before.items() <= after.items()
        shutil.rmtree(folder)
    print(
        f"{fine} of {trials} killed sweeps of 4 runs complete, none done twice ({before_it} runs done before the kills)"
    )
    return trials - fine


def half(root: Path, launcher: str, seeds: int) -> int:
    """Kill a sweep half-way, repeat it, report it."""
    args = (*HALF, f"seed=range(0,{seeds})", f"hydra/launcher={launcher}", *WORKERS[launcher])
    process, runs = start(root, *args), 6 * seeds
    begun = lambda: {path.parent.name for path in root.glob("runs/*/*/config.yaml")}
    until(lambda: runs // 2 <= len(done(root)) < len(begun()), process, seconds=seeds * 3600, every=0.1)  # amid a run
    killed = kill(process)
    for worker in Path("/proc").glob("[0-9]*"):  # some launchers' workers have a session of their own
        with contextlib.suppress(OSError):
            if (worker / "cwd").readlink().is_relative_to(root):
                os.kill(int(worker.name), signal.SIGKILL)
    before, began = done(root), begun()
    status, after = finish(root, *args), done(root)
    repeated = [run for run, at in before.items() if after.get(run) != at]
    lost = runs - len(after)
    reported = finish(root, "report", "runs/half") == 0 and (root / "runs/half/sweep.html").is_file()
    print(
        f"{launcher}: killed: {killed}, with {len(before)} runs done and {len(began) - len(before)} begun; after the "
        f"repetition {len(after)} of {runs} done, {lost} lost, {len(repeated)} repeated; report built: {reported}; "
        f"status {status}"
    )
    print("".join((root / "log").read_text().partition(f"{runs} runs")[1:])[:2500])
    return int(not (killed and status == 0 and reported)) + lost + len(repeated)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("resume", "checkpoints", "disk", "sweeps", "half"))
    parser.add_argument("--trials", type=int, help="by default those of the list above")
    parser.add_argument("--learner", choices=tuple(LEARNERS), default="ppo")
    parser.add_argument("--launcher", choices=tuple(WORKERS), default="joblib")
    parser.add_argument("--seeds", type=int, default=8, help="of `half`: six runs each")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and damages")
    options = parser.parse_args()
    random.seed(options.seed)
    os.environ["OMP_NUM_THREADS"] = "1"
    SERVER.set_forkserver_preload(MODULES)
    count = options.trials or {"resume": 50, "checkpoints": 200}.get(options.what, 20)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.what == "resume":
            return min(1, resume(root, count, options.learner))
        if options.what == "half":
            return min(1, half(root, options.launcher, options.seeds))
        return min(1, {"checkpoints": checkpoints, "disk": disk, "sweeps": sweeps}[options.what](root, count))


if __name__ == "__main__":
    sys.exit(main())
