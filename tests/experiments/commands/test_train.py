"""The commands from end to end, each a process: what a run leaves, and that a kill at any moment costs nothing."""

import hashlib
import json
import os
import re
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from storelab.experiments.runs.checkpoints import steps

SAC = (
    *("train", "task=LostSales", "env.horizon=60", "env.action=continuous", "agent=sac", "agent.device=cpu"),
    *("agent.threads=1", "agent.net_arch=[8]", "agent.num_envs=4", "agent.total_steps=800", "checkpoint_every=100"),
    *("agent.hyper.buffer_size=500", "agent.hyper.batch_size=16", "agent.hyper.learning_starts=100"),
    *("agent.hyper.gradient_steps=1", "evaluation.episodes=8", "evaluation.tuning_episodes=4"),
    "evaluation.curve_episodes=4",
)
PATHWISE = (
    *("train", "task=LostSales", "env.horizon=60", "agent=pathwise", "agent.device=cpu"),
    *("agent.net_arch=[8]", "agent.num_envs=16", "agent.total_steps=120", "agent.held_out=8", "checkpoint_every=20"),
    *("evaluation.episodes=8", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=4"),
)
HEURISTICS = ("train", "agent=heuristics", "env.horizon=60", "evaluation.tuning_episodes=4")
FILES = {"config.yaml", "provenance.json", "status.json", "heuristics.json", "eval.parquet", "results.json"}
FILES |= {"report.html", "DONE"}
LEARNT = {"metrics.jsonl", "checkpoints", "tensorboard", "choice.json", "best"}


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file under a folder: when it was written, and what it holds."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def policy(run: Path) -> bytes:
    return (run / "checkpoints" / str(steps(run / "checkpoints")[-1]) / "policy.safetensors").read_bytes()


def same_result(run: Path, other: Path) -> bool:
    return policy(run) == policy(other) and (run / "eval.parquet").read_bytes() == (other / "eval.parquet").read_bytes()


class Page(HTMLParser):
    """A page's table, its headings and figures."""

    def __init__(self, path: Path):
        super().__init__()
        self.rows, self.headings, self.open = [], [], []
        self.text = path.read_text()
        self.feed(self.text)
        self.figures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", self.text, flags=re.S)]

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        elif self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)

    def words(self, figure: int) -> str:
        """The texts of a figure."""
        return "\n".join(text for text in self.figures[figure].itertext() if text.strip())


def check_table(command, page: Page, unit: str) -> None:
    """The printed table and the report's are those of the episodes, best policy first, with their unit."""
    episodes = pd.read_parquet(command.run / "eval.parquet")
    objective = "profit" if "episode" in unit else "cost"
    means = episodes.groupby("policy")["value"].mean().sort_values(ascending=objective == "cost")
    assert page.rows[0][:2] == ["policy", objective]
    (head,) = re.findall(r"Held-out scenarios; [^<]*", page.text)
    assert f"in {unit}, [95 % confidence interval]" in head
    lines = command.out[command.out.index(head) :].splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith("---"))
    assert [row[0] for row in page.rows[1:]] == [line.split("  ")[0] for line in lines[rule + 1 :][: len(means)]]
    assert sorted(row[0] for row in page.rows[1:]) == sorted(means.index)
    half = 0.00501 if abs(means).max() < 1000 else 0.501  # of the last digit shown
    for row, line in zip(page.rows[1:], lines[rule + 1 :], strict=False):
        assert float(row[1].partition(" [")[0].replace(",", "")) == pytest.approx(means[row[0]], abs=half)
        assert row[1] in line
    shown = [means[row[0]] for row in page.rows[1:]]
    assert shown == sorted(shown, reverse=objective == "profit")


def test_train_leaves_a_whole_run(finished):
    run = finished.run
    assert finished.status == 0
    assert {path.name for path in run.iterdir() if not path.name.startswith(".lease-")} == FILES | LEARNT
    assert re.fullmatch(r"[0-9a-f]{12}-s0", run.name)
    assert run.parent == finished.folder / "runs" / "LostSales"
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["agent"]["hyper"]["n_steps"] == 16
    assert config["env"] == {"horizon": 60}
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["command"].startswith("storelab train task=LostSales env.horizon=60 ")
    assert provenance["threads"] == 1
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics] == list(range(256, 2049, 256))
    episodes = pd.read_parquet(run / "eval.parquet")
    assert set(episodes["policy"]) > {"PPO", "base_stock", "myopic", "reference policy"}
    assert (episodes.groupby("policy")["seed"].apply(list).map(sorted).map(tuple) == tuple(range(8))).all()
    results = json.loads((run / "results.json").read_text())
    means = episodes.groupby("policy")["value"].mean()
    assert {name: row["value"] for name, row in results["policies"].items()} == pytest.approx(means.to_dict())
    assert (results["objective"], results["unit"], results["agent"]) == ("cost", "money per period", "PPO")
    assert results["best_heuristic"] == means.drop(["PPO", "generalist", "reference policy"]).idxmin()
    assert os.stat(run / "DONE").st_mtime_ns == max(time for time, _ in content(run).values())


def test_checkpoints_are_sealed(finished):
    root = finished.run / "checkpoints"
    assert sorted(int(path.name) for path in root.iterdir()) == [1536, 1792, 2048]
    for folder in root.iterdir():
        sealed = dict(reversed(line.split("  ")) for line in (folder / "SHA256").read_text().splitlines())
        assert set(sealed) == {path.name for path in folder.iterdir()} - {"SHA256"}
        assert {"policy.safetensors", "normalization.npz", "policy.json"} < set(sealed)
        for name, checksum in sealed.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum


def test_report_of_a_learner(finished, self_contained):
    page = Page(finished.run / "report.html")
    self_contained(page.text)
    check_table(finished, page, "money per period")
    assert page.headings[2:4] == ["Learning curve", "Stock, orders and lost sales"]
    assert len(page.figures) == 2
    curve, stock = page.words(0), page.words(1)
    best = next(row[0] for row in page.rows[1:] if row[0] not in ("PPO", "generalist", "reference policy"))
    for word in ("PPO", f"{best} (best tuned heuristic)", "steps of the learner", "cost, money per period"):
        assert word in curve
    for word in ("PPO: ", f"{best}: ", "not served", "ordered", "demand", "units per period"):
        assert word in stock
    assert f"report: runs/LostSales/{finished.run.name}/report.html" in finished.out
    assert re.search(
        r"^PPO (is better than|is worse than|does not differ significantly from) the best tuned",
        finished.out,
        flags=re.M,
    )


def test_report_of_a_store(store, self_contained):
    assert store.status == 0
    assert {path.name for path in store.run.iterdir() if not path.name.startswith(".lease-")} == FILES
    page = Page(store.run / "report.html")
    self_contained(page.text)
    check_table(store, page, "money per episode")
    assert page.headings[2].startswith("What the data says")  # which days learners learn on and are chosen on
    assert page.headings[3:5] == ["Stock, orders and lost sales", "The forecast and what came"]
    for word in ("what came", "50% quantile", "units in "):
        assert word in page.words(1)
    assert "hindsight bound" in [row[0] for row in page.rows]


def test_a_finished_run_is_left_as_it_is(finished, storelab):
    before = content(finished.folder)
    again = storelab(finished.folder, *finished.args)
    assert again.status == 0
    assert again.out.startswith(f"runs/LostSales/{finished.run.name} is finished: nothing to do")
    assert again.out.count("\n") == 1
    assert content(finished.folder) == before


def test_evaluate_and_report_of_a_finished_run(finished, storelab, tmp_path):
    shutil.copytree(finished.folder / "runs", tmp_path / "runs")
    run = tmp_path / finished.run.relative_to(finished.folder)
    before = content(run)
    own = pd.read_parquet(run / "eval.parquet")
    same = storelab(tmp_path, "evaluate", f"run={run}", "evaluation.episodes=8")
    assert same.status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(run / "eval-0-8.parquet"), own)
    told = re.search(r"^Held-out.*?(?=^PPO (?:is|does not) )", finished.out, re.M | re.S)
    assert same.out == f"{told[0]}episodes: {run}/eval-0-8.parquet\n"
    other = storelab(tmp_path, "evaluate", f"run={run}", "evaluation.episodes=3", "evaluation.seed=4")
    assert other.status == 0
    held_out = pd.read_parquet(run / "eval-4-3.parquet")
    assert set(held_out["seed"]) == {4, 5, 6}
    fixed = lambda table: table[table["seed"].isin([4, 5, 6]) & (table["policy"] != "random")].reset_index(drop=True)
    pd.testing.assert_frame_equal(fixed(held_out), fixed(own))  # random draws by its place in the batch
    (run / "report.html").unlink()
    report = storelab(tmp_path, "report", f"run={run}")
    assert report.status == 0
    assert report.out == f"{finished.out.partition(chr(10))[2].rpartition('report: ')[0]}report: {run}/report.html\n"
    after = content(run)
    assert set(after) - set(before) == {"eval-0-8.parquet", "eval-4-3.parquet"}
    assert {name: value for name, (_, value) in after.items() if name in before} == {
        name: value for name, (_, value) in before.items()
    }


def test_evaluate_and_report_of_a_store(store, storelab, tmp_path):
    shutil.copytree(store.folder / "runs", tmp_path / "runs")
    name = store.run.relative_to(store.folder)
    evaluated = storelab(tmp_path, "evaluate", f"run={name}", "evaluation.episodes=8")
    assert evaluated.status == 0
    own = pd.read_parquet(tmp_path / name / "eval.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name / "eval-0-8.parquet"), own)
    first = (tmp_path / name / "report.html").read_bytes()
    assert storelab(tmp_path, "report", f"run={name}").status == 0
    assert (tmp_path / name / "report.html").read_bytes() == first


def check_goes_on(command, at: int, straight) -> None:
    assert command.status == 0, command.err
    assert f"going on from {at:,} of " in command.out
    assert command.run.name == straight.run.name
    assert (command.run / "DONE").is_file()
    assert same_result(command.run, straight.run)
    steps_of = lambda run: [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps_of(command.run) == steps_of(straight.run)


def test_a_killed_run_is_not_finished(killed, storelab, tmp_path):
    assert killed.status == -signal.SIGKILL
    assert not {"DONE", "eval.parquet", "report.html"} & {path.name for path in killed.run.iterdir()}
    assert json.loads((killed.run / "status.json").read_text())["state"] == "running"
    for command in ("evaluate", "report"):
        refused = storelab(tmp_path, command, f"run={killed.run}")
        assert refused.status == 2
        assert refused.err == f"run: {str(killed.run)!r} is not allowed, expected the folder of a finished run\n"


def test_ppo_killed_and_started_again_ends_bit_equal(killed, finished, storelab, tmp_path):
    shutil.copytree(killed.folder / "elsewhere", tmp_path / "elsewhere")
    again = storelab(tmp_path, *killed.args, fresh=True)
    check_goes_on(again, killed.checkpoints[-1], finished)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "name"),
    [(truncate, "policy.safetensors"), (flip, "environments.npz"), (empty, "learner.json")],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(harm, name, killed, finished, storelab, tmp_path):
    shutil.copytree(killed.folder / "elsewhere", tmp_path / "elsewhere")
    before, newest = killed.checkpoints[-2:]
    harm(tmp_path / killed.run.relative_to(killed.folder) / "checkpoints" / str(newest) / name)
    again = storelab(tmp_path, *killed.args)
    said = next(line for line in again.out.splitlines() if line.startswith(f"checkpoint {newest} is damaged ("))
    assert said.endswith("going back to the one before")
    assert name in said
    check_goes_on(again, before, finished)


@pytest.mark.slow
def test_sac_killed_and_started_again_ends_bit_equal(start, storelab, tmp_path):
    folders = tmp_path / "straight", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
    straight = storelab(folders[0], *SAC)
    assert straight.status == 0, straight.err
    killed = start(folders[1], *SAC, "runs=elsewhere")
    killed.until(lambda: len(killed.checkpoints) > 1)
    killed.kill()
    at = killed.checkpoints[-1]
    assert not (killed.run / "DONE").exists()
    check_goes_on(storelab(folders[1], *SAC, "runs=elsewhere"), at, straight)


@pytest.mark.slow
def test_pathwise_killed_and_started_again_ends_bit_equal(start, storelab, tmp_path):
    folders = tmp_path / "straight", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
    straight = storelab(folders[0], *PATHWISE)
    assert straight.status == 0, straight.err
    assert set(pd.read_parquet(straight.run / "eval.parquet")["policy"]) > {"pathwise", "base_stock"}
    killed = start(folders[1], *PATHWISE, "runs=elsewhere")
    killed.until(lambda: len(killed.checkpoints) > 1)
    killed.kill()
    at = killed.checkpoints[-1]
    assert not (killed.run / "DONE").exists()
    check_goes_on(storelab(folders[1], *PATHWISE, "runs=elsewhere"), at, straight)
    own = pd.read_parquet(straight.run / "eval.parquet")
    name = straight.run.relative_to(folders[0])
    assert storelab(folders[0], "evaluate", f"run={name}", "evaluation.episodes=8").status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(straight.run / "eval-0-8.parquet"), own)


@pytest.mark.parametrize("stage", ["tune", "evaluation"])
def test_killed_at_another_stage(stage, start, storelab, tmp_path):
    args = (*HEURISTICS, "evaluation.episodes=500")
    killed = start(tmp_path, *args)
    reached = lambda: any(f'"stage": "{stage}' in p.read_text() for p in tmp_path.glob("runs/*/*/status.json"))
    killed.until(reached)
    killed.kill()
    assert not {"DONE", "eval.parquet", "report.html"} & {path.name for path in killed.run.iterdir()}
    again = storelab(tmp_path, *args)
    assert again.status == 0
    assert {path.name for path in again.run.iterdir() if not path.name.startswith(".lease-")} == FILES
    assert pd.read_parquet(again.run / "eval.parquet")["seed"].nunique() == 500


def test_a_second_process_on_a_run_is_refused(start, storelab, tmp_path):
    first = start(tmp_path, *HEURISTICS, "evaluation.episodes=100")
    first.until(lambda: list(tmp_path.glob("runs/*/*/status.json")))
    os.kill(first.pid, signal.SIGSTOP)  # so that it cannot end before the second one comes
    before = content(first.run)
    second = storelab(tmp_path, *first.args)
    assert second.status == 2
    refusal = f"runs/LostSales/{first.run.name}: another process works on this run"
    (line,) = second.err.splitlines()
    assert line.startswith(f"{refusal} (process {first.pid} on ")
    assert content(first.run) == before
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait().status == 0


def test_a_sweep_goes_on_after_a_bad_job(storelab, tmp_path):
    sweep = storelab(tmp_path, *HEURISTICS, "--multirun", "seed=0,1", "evaluation.episodes=1,8")
    assert sweep.status == 2
    said = "evaluation.episodes: 1 is not allowed, expected an integer >= 2 and <= 100000"
    listed = sweep.err[sweep.err.index("2 of the sweep's jobs failed:\n") :].splitlines()[1:]
    assert [line.partition(" seed=")[2] for line in listed] == [f"{k} evaluation.episodes=1: {said}" for k in (0, 1)]
    assert sweep.err.count(said) == 4  # as it happens, and at the end
    runs = sorted(tmp_path.glob("runs/LostSales/*"))
    assert [run.name.rpartition("-")[2] for run in runs] == ["s0", "s1"]
    assert all((run / "DONE").is_file() for run in runs)
    commands = [json.loads((run / "provenance.json").read_text())["command"] for run in runs]
    assert ["seed=0" in command for command in commands] == [True, False]


def test_a_sweep_that_shall_end_at_the_first_failure_does(storelab, tmp_path):
    sweep = storelab(tmp_path, *HEURISTICS, "--multirun", "--fail-fast", "evaluation.episodes=1,8")
    assert sweep.status == 2
    said = "evaluation.episodes: 1 is not allowed, expected an integer >= 2 and <= 100000"
    assert sweep.err.splitlines()[0] == said
    assert sweep.err.splitlines()[1] == "1 of the sweep's jobs failed:"
    assert not list(tmp_path.glob("runs/LostSales/*"))


@pytest.mark.slow
def test_a_sweep_lists_what_broke_and_a_dry_run_what_is_left(storelab, tmp_path):
    """A folder stands where the run's episodes go: an error that comes with the work."""
    plan = ("seed=0,1", "evaluation.episodes=8", "-m")
    dry = storelab(tmp_path, *HEURISTICS, *plan, "--dry-run")
    assert (dry.status, dry.err) == (0, "")
    runs = [Path(line.partition(" ")[0]) for line in dry.out.splitlines() if line.endswith(" would start")]
    assert [run.name.rpartition("-")[2] for run in runs] == ["s0", "s1"]
    assert not (tmp_path / "runs" / "LostSales").exists()
    (tmp_path / runs[0] / "eval.parquet").mkdir(parents=True)
    sweep = storelab(tmp_path, *HEURISTICS, *plan)
    assert sweep.status == 1
    assert "Traceback" in sweep.err
    last = sweep.err.splitlines()[-2:]
    assert last[0] == "1 of the sweep's jobs failed:"
    assert re.search(r"seed=0 evaluation.episodes=8: FieldError: ", last[1])
    assert (tmp_path / runs[1] / "DONE").is_file()
    again = storelab(tmp_path, *HEURISTICS, *plan, "--dry-run").out
    said = f"{runs[0]} failed before (FieldError: "
    assert re.search(f"^{re.escape(said)}.*: skipped, --retry-failed tries it again$", again, re.M)
    assert f"{runs[1]} is finished: skipped\n" in again
    left = storelab(tmp_path, *HEURISTICS, *plan)
    assert (left.status, "Traceback" in left.err) == (1, False)
    assert said in left.err.splitlines()[-1]
    refused = storelab(tmp_path, "report", f"run={runs[1]}", "--dry-run")
    assert refused.err == "--dry-run: not known to report, expected one of train, demo, backtest, explain, fit\n"
    listed = storelab(tmp_path, "runs", "state=failed").out.splitlines()
    assert re.fullmatch(r"  LostSales/[0-9a-f]{12}-s0: FieldError: .*", listed[-1])
    (tmp_path / runs[0] / "eval.parquet").rmdir()
    assert storelab(tmp_path, *HEURISTICS, *plan, "--retry-failed").status == 0
    assert (tmp_path / runs[0] / "DONE").is_file()


def test_a_finished_run_is_done_anew_and_the_old_one_kept(storelab, tmp_path):
    job = (*HEURISTICS, "evaluation.episodes=8")
    first = storelab(tmp_path, *job).run
    kept = content(first)
    dry = storelab(tmp_path, *job, "--rerun", "--dry-run").out
    assert dry == f"{first.relative_to(tmp_path)} is finished: would be moved aside and done anew\n"
    for number in (1, 2):
        assert storelab(tmp_path, *job, "--rerun").status == 0
        aside = first.with_name(f"{first.name}.{number}")
        assert (aside / "DONE").is_file()
        assert (first / "eval.parquet").read_bytes() == (aside / "eval.parquet").read_bytes()
    before = content(first.with_name(f"{first.name}.1"))
    assert all(before[name] == kept[name] for name in FILES)
    assert "1 runs: 1 finished" in storelab(tmp_path, "runs").out


def test_a_sweep_over_seeds_makes_a_run_of_each(storelab, finished, tmp_path):
    short = [arg for arg in finished.args if "total_steps" not in arg and "checkpoint_every" not in arg]
    sweep = storelab(tmp_path, *short, "agent.total_steps=256", "seed=0,1", "-m")
    assert sweep.status == 0
    zero, one = sorted(tmp_path.glob("runs/LostSales/*"))
    assert (zero.name.rpartition("-")[2], one.name.rpartition("-")[2]) == ("s0", "s1")
    assert zero.name.partition("-")[0] == one.name.partition("-")[0]
    assert all((run / "DONE").is_file() for run in (zero, one))
    assert policy(zero) != policy(one)


def test_ctrl_c_ends_in_one_line_and_the_run_goes_on(start, storelab, finished, tmp_path):
    command = start(tmp_path, *finished.args)
    command.until(lambda: command.checkpoints)
    os.kill(command.pid, signal.SIGINT)
    assert command.wait().status == 130
    assert command.err.splitlines()[-1] == "interrupted: the same command goes on from the last checkpoint"
    assert "Traceback" not in command.err
    assert not (command.run / "DONE").exists()
    last = command.checkpoints[-1]
    check_goes_on(storelab(tmp_path, *finished.args), last, finished)


def caught(pid: int, number: int) -> bool:
    """Return whether a process has a handler of its own for a signal."""
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see which signals are caught")
@pytest.mark.parametrize(
    "learner", ["ppo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sac", "pathwise"))]
)
def test_sigterm_leaves_a_checkpoint(learner, start, storelab, finished, tmp_path):
    """A scheduler's notice: no checkpoint is due for long, and none of the work is lost."""
    plain = {"ppo": finished.args, "sac": SAC, "pathwise": PATHWISE}[learner]
    args = [arg for arg in plain if "checkpoint_every" not in arg] + ["checkpoint_every=100000"]
    command = start(tmp_path, *args)
    command.until(lambda: caught(command.pid, signal.SIGTERM))  # it learns
    os.kill(command.pid, signal.SIGTERM)
    command.wait()
    if command.status == 0:
        pytest.fail("it was done before the signal came")
    assert command.status == 128 + signal.SIGTERM
    assert json.loads((command.run / "status.json").read_text())["state"] == "stopped"
    (at,) = command.checkpoints
    assert f"stopped: the same command goes on from {at:,} steps\n" in command.err
    again = storelab(tmp_path, *args)
    assert again.status == 0, again.err
    assert f"going on from {at:,} of " in again.out
    if learner == "ppo":
        assert same_result(again.run, finished.run)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see what a process has loaded")
def test_ctrl_c_while_the_libraries_load(start, tmp_path):
    command = start(tmp_path, *HEURISTICS, "evaluation.episodes=50000", fresh=True)
    command.until(lambda: "libtorch" in Path(f"/proc/{command.pid}/maps").read_text())
    for _ in range(3):  # Python loses one that comes in a destructor or a weak reference's callback
        os.kill(command.pid, signal.SIGINT)
        if command.ended_within(10):
            break
    assert command.status in (130, -signal.SIGINT)  # the same to a shell; Python's own where it came in an `exec`
    assert command.err.splitlines()[-1] == "interrupted: the same command goes on from the last checkpoint"
    assert "Traceback" not in command.err


def test_damaged_files_of_a_run_are_named_in_one_line(finished, storelab, tmp_path):
    harms = {"config.yaml": b"task: [", "eval.parquet": b"PAR1", "heuristics.json": b"{", "metrics.jsonl": b"\xff\n"}
    for name, damaged in harms.items():
        folder = tmp_path / name
        shutil.copytree(finished.run, folder)
        (folder / name).write_bytes(damaged)
        command = storelab(tmp_path, "report", f"run={folder}")
        assert command.status == 2
        assert command.err.startswith(f"{folder / name} is damaged: ")
        assert command.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(storelab, tmp_path):
    (tmp_path / "taken").write_text("a file")
    command = storelab(tmp_path, *HEURISTICS, "runs=taken")
    assert command.status == 2
    expected = (
        r"runs: 'taken/LostSales/\w+-s0' is not allowed as .*taken is: Not a directory, expected a folder that .*\n"
    )
    assert re.fullmatch(expected, command.err)
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_horizon_within_the_warm_up_is_refused_before_any_work(storelab, tmp_path):
    command = storelab(tmp_path, "train", "env.horizon=50")
    assert command.status == 2
    assert command.err == (
        "env.horizon: 50 is not allowed with task=LostSales, expected more than its warm-up of 50 periods\n"
    )
    assert not list(tmp_path.iterdir())
