"""Checkpoints: whole or not there, damage is found, the one before is used."""

import json
import shutil

import pytest
from storelab.experiments.runs.checkpoints import SEAL, _lines, damage, newest_whole, steps, write_checkpoint


def save(value):
    def write(folder):
        (folder / "policy.json").write_text(json.dumps(value))
        (folder / "sub").mkdir()
        (folder / "sub" / "state.bin").write_bytes(bytes(range(256)) * 8)

    return write


@pytest.fixture
def root(tmp_path):
    for step in (5, 10, 20):
        write_checkpoint(tmp_path, step, save(step))
    return tmp_path


def test_newest_is_found_whole(root):
    assert newest_whole(root) == root / "20"
    assert json.loads((root / "20" / "policy.json").read_text()) == 20
    assert damage(root / "20") is None
    assert newest_whole(root / "nothing") is None


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", ["policy.json", "sub/state.bin", "SHA256"])
@pytest.mark.parametrize("harm", DAMAGES)
def test_damage_is_found_and_the_one_before_used(root, name, harm):
    DAMAGES[harm](root / "20" / name)
    said = []
    assert newest_whole(root, said.append) == root / "10"
    assert len(said) == 1
    assert "checkpoint 20 is damaged" in said[0]


def test_every_flipped_byte_is_found(root):
    for path in (root / "20" / "policy.json", root / "20" / "SHA256"):
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
            assert damage(root / "20"), f"{path.name}, byte {place}"
        path.write_bytes(content)
    assert damage(root / "20") is None


def test_a_file_that_is_not_sealed_is_damage(root):
    (root / "20" / "more.npz").write_bytes(b"x")
    assert "more.npz" in damage(root / "20")


def test_all_damaged(root):
    for step in steps(root):
        (root / str(step) / "SHA256").unlink()
    said = []
    assert newest_whole(root, said.append) is None
    assert len(said) == 3


def test_keeps_the_last_ones(root):
    write_checkpoint(root, 30, save(30), keep=2)
    assert steps(root) == [20, 30]


def test_a_save_that_dies_leaves_the_others(root):
    def die(folder):
        (folder / "policy.json").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_checkpoint(root, 30, die)
    assert newest_whole(root) == root / "20"
    write_checkpoint(root, 30, save(30))
    assert newest_whole(root) == root / "30"
    assert not list(root.glob(".*"))


def test_the_same_step_is_written_over(root):
    (root / "20" / "policy.json").write_text("damaged")
    write_checkpoint(root, 20, save("new"))
    assert json.loads((newest_whole(root) / "policy.json").read_text()) == "new"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 100_000, "{}", "7"])
@pytest.mark.parametrize("name", ["learner.json", "policy.json"])
def test_a_sealed_checkpoint_of_somebody_elses_ends_in_one_line(tmp_path, killed, storelab, name, text):
    shutil.copytree(killed.folder, tmp_path / "copy")
    (run,) = (tmp_path / "copy").glob("elsewhere/*/*-s0")
    last = run / "checkpoints" / str(steps(run / "checkpoints")[-1])
    (last / name).write_text(text)
    (last / SEAL).write_text("".join(_lines(last)))
    done = storelab(tmp_path / "copy", *killed.args)
    assert done.status == 2, done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert f"{last.name} is damaged" in done.err
