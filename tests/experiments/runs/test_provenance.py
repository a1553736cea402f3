"""Hashes tell two runs apart by whatever may change a result, and by nothing else."""

import subprocess

import pytest
from storelab.experiments.runs import provenance
from storelab.experiments.runs.provenance import digest, git_commit, source_hash


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A small package in the place of ours, and a function that hashes it anew."""
    for name in ("envs", "conf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "envs" / "core.py").write_text("x = 1\n")
    (tmp_path / "conf" / "train.yaml").write_text("seed: 0\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path, provenance.code_hash.__wrapped__


def test_code_hash_sees_every_file_of_the_package(house):
    root, code_hash = house
    seen = {code_hash()}
    for path, text in (("envs/core.py", "x = 2\n"), ("conf/train.yaml", "seed: 1\n"), ("envs/weights.bin", "w")):
        (root / path).write_text(text)
        seen.add(code_hash())
    (root / "envs" / "core.py").rename(root / "envs" / "kernel.py")
    seen.add(code_hash())
    assert len(seen) == 5


def test_code_hash_sees_nothing_else(house):
    root, code_hash = house
    before, envs = code_hash(), code_hash("envs")
    (root / "envs" / "__pycache__").mkdir()
    (root / "envs" / "__pycache__" / "core.pyc").write_bytes(b"x")
    (root / "runs").mkdir()
    (root / "runs" / "status.json").write_text("{}")
    (root / "README.md").write_text("words")
    assert code_hash() == before
    (root / "conf" / "train.yaml").write_text("seed: 1\n")
    assert code_hash("envs") == envs


def test_source_hash_of_files_and_folders(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "a.csv").write_text("1\n")
    assert source_hash(one) == source_hash(two)
    assert source_hash(one / "a.csv") == source_hash(two / "a.csv")
    (two / "a.csv").write_text("2\n")
    assert source_hash(one) != source_hash(two)
    (two / "a.csv").write_text("1\n")
    (two / "a.csv").rename(two / "b.csv")
    assert source_hash(one) != source_hash(two)
    with pytest.raises(OSError):
        source_hash(tmp_path / "none")


def test_digest_goes_by_value():
    assert digest({"a": 1, "b": [2.5]}) == digest({"b": [2.5], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest(None) != digest({})


def test_git_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert git_commit() is None

    def git(*words):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "HEAD").strip()
    assert git_commit() == head
    (tmp_path / "inner" / "a").write_text("2")
    assert git_commit() == f"{head}+changes"
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "inner")
    assert git_commit() is None  # someone else's repository
