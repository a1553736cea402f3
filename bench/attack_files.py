"""Configurations that would run code or show what is secret, and files that are broken, lie or unpack to far too much.

Each try is a process of its own, or one of many in a process that may take 3 GB. It holds where it ends with an error
of one line, or is read as if nothing had changed, and where no gadget ran.
"""

import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from attack import Outcome, trial

TESTS = Path(__file__).parents[1] / "tests"
MEMORY = 3 << 30  # bytes of address space
CLI = [sys.executable, "-P", "-m", "storelab.experiments.cli"]
LOADER = """
import json, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from storelab import forecasting, reading, recommendation
from storelab.data import Panel
from storelab.envs.dispatch.city import read_city
from storelab.envs.marketplace.params import StoreModels
from storelab.language.answers import read_answers
from storelab.language.tables import read
from storelab.experiments.runs.folder import Run
def load(path):
    if path.is_dir():
        return [forecasting.load, recommendation.load, lambda p: Run(p).config(), lambda p: Run(p).read("status.json")]
    return {".npz": [reading.read_arrays], ".safetensors": [reading.read_tensors], ".txt": [read_city],
            ".json": [read_answers, reading.read_json], ".yaml": [reading.read_yaml]}.get(
                path.suffix, [Panel.from_frame, read])
for line in sys.stdin:
    path = Path(line.strip())
    for loader in load(path):
        start = time.monotonic()
        try:
            loader(path)
            said = "read"
        except (ValueError, OSError) as error:
            said = str(error)
        except BaseException as error:
            said = f"!! {type(error).__name__}: {error}"
        print(json.dumps([str(path), said, time.monotonic() - start]), flush=True)
"""


def members(path: str):
    """A module of tests, whose members are tried here too."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def loaded(paths: list[Path]) -> list[tuple[str, str, float]]:
    """File, what its loader said and how long it took."""
    names = "".join(f"{path}\n" for path in paths)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", LOADER]
    done = subprocess.run(command, input=names, capture_output=True, text=True, preexec_fn=limited, env=environment)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        rows.append(("the process", f"!! ended with {done.returncode}", 0.0))
    return rows


def outcome(tried: str, rows: list[tuple[str, str, float]], may_read: bool) -> Outcome:
    """How many rows are an error of one line, or read where that is allowed."""
    bad = [row for row in rows if row[1].startswith("!!") or "\n" in row[1] or (row[1] == "read" and not may_read)]
    for path, said, _ in bad[:5]:
        print(f"{tried}: {path}: {said[:300]}", file=sys.stderr)
    longest = max((seconds for *_, seconds in rows), default=0.0)
    return Outcome(tried, len(rows), len(rows) - len(bad), f"the longest {longest:.1f} s, {MEMORY >> 30} GB allowed")


@trial
def configurations() -> list[Outcome]:
    """Each way of `tests/experiments/config/test_no_code.py`, to each command that composes a config."""
    given = members("experiments/config/test_no_code.py")
    commands = [given.TRAIN, ("backtest", "--dry-run")]
    own = ("agent", "env.", "data=", "task=")  # keys that only `train` has
    jobs = [
        (command, way)
        for way in given.WAYS
        for command in commands
        if command is given.TRAIN or not any(word.lstrip("+").startswith(own) for word in given.WAYS[way])
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        held = list(pool.map(lambda job: _no_code(given, Path(folder), *job), jobs))
    for job, well in zip(jobs, held, strict=True):
        if not well:
            print(f"configurations: {job}", file=sys.stderr)
    return [Outcome(f"{len(given.WAYS)} ways to code, {len(commands)} commands", len(jobs), sum(held))]


def _no_code(given, root: Path, command: tuple[str, ...], way: str) -> bool:
    folder = Path(tempfile.mkdtemp(dir=root))
    given.gadget.__wrapped__(folder)
    pickled, mark = folder / "gadget.pkl", folder / "ran"
    words = [word.replace("GADGET}", f"{pickled}}}").replace("RAN", str(mark)) for word in given.WAYS[way]]
    around = {"GADGET_TEXT": given.RUN.replace("GADGET", str(pickled)), "TAIL": "read_pickle"}
    around |= {"PYTHONPATH": str(folder)}
    done = subprocess.run([*CLI, *command, *words], cwd=folder, capture_output=True, text=True, env=os.environ | around)
    return done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not mark.exists()


@trial
def files() -> list[Outcome]:
    """Bombs and claims; files cut anywhere, or with bytes changed."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lies = [*_bombs(folder), *_claims(folder)]
        outcomes = [outcome("bombs, claims, pipes and devices", loaded(lies), may_read=False)]
        for kind, path in _good(folder / "good").items():
            spoilt = [_spoilt(path, folder / f"{kind} {number}", draw) for number in range(100)]
            outcomes.append(outcome(f"{kind}: cut, or bytes changed", loaded(spoilt), may_read=True))
    return outcomes


def _bombs(folder: Path) -> list[Path]:
    given = members("experiments/config/test_no_code.py")
    texts = {"alias.yaml": given.bomb(), "list.yaml": given.DEEP["list"] * 20, "map.yaml": given.DEEP["map"]}
    texts |= {"deep.json": "[" * 10**7, "map.json": '{"a":' * 10**6, "digits.json": "1" * 10**6}
    texts |= {"header.csv": "item,date,units,price\n", "wide.csv": "item,date" + "," * 10**6, "none.csv": ""}
    texts |= {"dimension.txt": "DIMENSION : 1000000000\nCAPACITY : 5\nEDGE_WEIGHT_SECTION\n0 1\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    for end in ("csv", "xlsx", "parquet", "json", "yaml", "npz", "safetensors", "txt"):
        (folder / f"zero.{end}").symlink_to("/dev/zero")
        os.mkfifo(folder / f"pipe.{end}")
    with (folder / "holes.csv").open("wb") as file:
        file.truncate(50 << 30)
    texts = [*texts, "holes.csv", *(path.name for path in folder.glob("*.*") if path.stem in ("zero", "pipe"))]
    return [folder / name for name in texts]


def _claims(folder: Path) -> list[Path]:
    import pyarrow as pa

    given, arrays = members("data/test_hostile_files.py"), members("test_reading.py")
    coded = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000_000, np.int32)), pa.array(["a"]))
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(7000, np.int32)), pa.array(["x" * 1_000_000]))
    paths = [
        given.parquet(folder / "rows.parquet", {"item": coded, "text": coded}, compression="zstd"),
        given.parquet(folder / "7 GB.parquet", {"item": long, "text": long}, compression="zstd"),
        given.xlsx(folder / "bomb.xlsx", given.sheet(given.TITLES + " " * 300_000_000)),
        given.xlsx(folder / "row.xlsx", given.sheet(given.TITLES + given.cells(10**9, A="x"))),
        given.xlsx(folder / "column.xlsx", given.sheet(given.TITLES + given.cells(2, ZZZ="x"))),
    ]
    for number, content in enumerate((arrays.claim((10**9,)), arrays.claim((10**12, 10**12)))):
        paths.append(folder / f"claim{number}.npz")
        paths[-1].write_bytes(content)
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    paths.append(folder / "claim.safetensors")
    paths[-1].write_bytes(len(header).to_bytes(8, "little") + header)
    return paths


def _good(folder: Path) -> dict[str, Path]:
    """A good file, or a folder of files, of each kind."""
    from safetensors.numpy import save
    from storelab import forecasting
    from storelab.data import SyntheticStoreParams, generate
    from storelab.language import answers

    folder.mkdir()
    panel = generate(SyntheticStoreParams(items=3, days=200)).panel
    table = panel.to_frame()[["item", "date", "units", "price"]]
    table.to_csv(folder / "a.csv", index=False)
    table.to_excel(folder / "a.xlsx", index=False)
    table.to_parquet(folder / "a.parquet")
    np.savez_compressed(folder / "a.npz", a=np.arange(99.0), b=np.array(["x"]))
    (folder / "a.safetensors").write_bytes(save({"a": np.arange(99.0)}))
    (folder / "a.json").write_bytes(Path(answers.__file__).with_name("answers.json").read_bytes())
    (folder / "a.yaml").write_text("a: {b: [1, 2, {c: d}]}\n" * 1)
    (folder / "a.txt").write_text(members("envs/dispatch/test_city.py").GOOD)
    found = {path.suffix[1:]: path for path in sorted(folder.glob("a.*"))}
    for name in ("moving_average", "lightgbm"):
        model = forecasting.create(name)
        model.fit(panel)
        model.save(folder / name)
        found[f"saved {name}"] = folder / name
    return found


def _spoilt(path: Path, place: Path, draw: random.Random) -> Path:
    """A copy of a file, or of a folder with one of its files spoilt: cut, or with some bytes changed."""
    import shutil

    if path.is_dir():
        shutil.copytree(path, place)
        target = draw.choice(sorted(place.iterdir()))
    else:
        target = place = place.with_name(place.name + path.suffix)
        target.write_bytes(path.read_bytes())
    content = bytearray(target.read_bytes())
    if draw.random() < 0.4:
        del content[draw.randrange(len(content)) :]
    for _ in range(draw.randrange(1, 6) if content else 0):
        content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
    target.write_bytes(content)
    return place


@trial
def secrets() -> list[Outcome]:
    """Data and folders named by the environment: files and messages are searched for what the variables hold."""
    given = members("experiments/config/test_environment.py")
    words = [*given.BACKTEST]
    tries = [words, [*words, "--cfg", "job"], [*words, "--cfg", "all", "--resolve"], [*words, "--info", "all"]]
    tries += [[*words, "horizon=0"], [*words, "data.day_first=x"], [*words, "--multirun", "origins=1,2"]]
    held = []
    with tempfile.TemporaryDirectory() as name:
        shop, place = Path(name) / given.SECRET, Path(name) / "place"
        shop.mkdir(), place.mkdir()
        from storelab.data import SyntheticStoreParams, generate

        table = generate(SyntheticStoreParams(items=3, days=300)).panel.to_frame()
        table.to_csv(shop / "days.csv", index=False)
        for value in (str(shop), str(Path(name) / "none" / given.SECRET)):
            around = os.environ | {"SHOP": value, "PLACE": str(place), "OMP_NUM_THREADS": "1"}
            for one in tries:
                done = subprocess.run([*CLI, *one], cwd=place, capture_output=True, text=True, env=around)
                found = given.written(place) or given.SECRET in done.stdout + done.stderr
                held.append(not found)
                if found:
                    print(f"secrets: {one}: {found}", file=sys.stderr)
    return [Outcome("values of the environment, searched in all files and messages", len(held), sum(held))]
