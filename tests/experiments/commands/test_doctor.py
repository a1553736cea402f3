"""`storelab doctor`: what it tells when all is well, and that trouble shows in its exit status."""

import importlib.metadata
import platform
import re


def test_a_healthy_machine(storelab, tmp_path):
    told = storelab(tmp_path, "doctor")
    assert (told.status, told.err) == (0, "")
    found = dict(re.findall(r"^  (\S.*?)  +(\S.*)$", told.out, flags=re.M))
    assert found["python"] == platform.python_version()
    for name in ("numpy", "gymnasium", "torch", "stable-baselines3", "hydra-core"):
        assert found[name] == importlib.metadata.version(name)
    assert re.match(r"cpu|cuda \(", found["device"])
    assert int(found["cores"]) >= 1
    assert found["runs is writable"] == str(tmp_path / "runs")
    assert re.fullmatch(r"[\d,]+ GB free", found["runs has room"])
    assert re.fullmatch(r"[\d,]+ steps/s", found["an environment runs"])
    assert found["torch computes"] in ("on cpu", "on cuda")
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?|not in a git checkout", found["git commit"])
    assert re.search(r"^(all is well|what is installed is well; \d+ extras are not complete)\n\Z", told.out, re.M)
    assert not list((tmp_path / "runs").iterdir())


def test_a_folder_that_cannot_be_written(storelab, tmp_path):
    (tmp_path / "runs").write_text("a file")  # a mode would not stop root
    told = storelab(tmp_path, "doctor")
    assert told.status == 1
    assert re.search(r"^  runs is writable +WRONG: .*File exists", told.out, flags=re.M)
    assert "\n1 of these are wrong: runs is writable\n" in told.out
    assert "all is well" not in told.out
    assert "torch computes" in told.out  # the checks after it run all the same


def test_a_word_too_many(storelab, tmp_path):
    told = storelab(tmp_path, "doctor", "now")
    assert told.status == 2
    assert told.out.startswith("usage: storelab doctor\n")
    assert not list(tmp_path.iterdir())
