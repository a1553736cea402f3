"""`storelab watch`: the agent beside the best heuristic on one scenario, as HTML, GIF and MP4, without a display."""

import re
import shutil

import pytest
from PIL import Image


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished.folder / "runs", tmp_path / "runs")
    return tmp_path / finished.run.relative_to(finished.folder)


def test_html_plays_and_stands_in_the_report(run, storelab, tmp_path):
    before = (run / "report.html").read_text()
    for _ in range(2):
        done = storelab(tmp_path, "watch", str(run), "frames=4", DISPLAY="")
        assert done.status == 0, done.err
    best = re.search(r"LostSales, held-out scenario 0: PPO and (\w+)\n", done.out)[1]
    for path in (run / "watch-0.html", run / "report.html"):
        text = path.read_text()
        assert text.count('<section id="watch">') == 1
        assert f"<figcaption>{best}</figcaption>" in text
        assert "<figcaption>PPO</figcaption>" in text
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
        frames = re.search(r'data-frames="(.*?)"', text)[1].count("iVBOR")
        assert frames == 2 * 4
    with_film = (run / "report.html").read_text()
    assert len(with_film) > len(before)
    anew = storelab(tmp_path, "report", f"run={run}")
    assert anew.status == 0, anew.err
    player = re.compile(r'<section id="watch">.*?</section>', re.S)
    assert player.findall((run / "report.html").read_text()) == player.findall(with_film)


def test_gif(run, storelab, tmp_path):
    done = storelab(tmp_path, "watch", f"run={run}", "format=gif", "frames=5", "scenario=7", "output=out/film.gif")
    assert done.status == 0, done.err
    assert done.out.endswith("animation: out/film.gif\n")
    with Image.open(tmp_path / "out" / "film.gif") as film:
        assert film.n_frames == 5
        assert film.width > 2 * film.height


def test_mp4_or_what_to_install(run, storelab, tmp_path):
    done = storelab(tmp_path, "watch", str(run), "format=mp4", "frames=3", PATH="")
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        assert done.status == 2
        assert done.err == (
            "format: 'mp4' is not allowed without ffmpeg, expected html or gif, or ffmpeg: "
            "pip install 'storelab[video]'\n"
        )
    else:
        assert done.status == 0, done.err
        assert (run / "watch-0.mp4").read_bytes()[4:8] == b"ftyp"


def test_heuristics_alone_and_a_policy_of_ones_own(store, storelab, tmp_path):
    shutil.copytree(store.folder / "runs", tmp_path / "runs")
    (tmp_path / "mine.py").write_text("import numpy as np\n\n\ndef none(x):\n    return np.zeros((len(x), 3))\n")
    run = tmp_path / store.run.relative_to(store.folder)
    two = storelab(tmp_path, "watch", str(run), "format=gif", "frames=2")
    assert re.search(r"scenario 0: (\w+) and (\w+)\n", two.out)
    own = storelab(tmp_path, "watch", str(run), "format=gif", "frames=2", "--policy", "mine:none")
    assert re.search(r"scenario 0: none and (\w+)\n", own.out)
    bad = storelab(tmp_path, "watch", str(run), "format=gif", "frames=2", "--policy", "x=mine:np")
    assert bad.status == 2
    assert bad.err.startswith("policy x: ")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("format=avi", "format: 'avi' is not allowed, expected one of html, gif, mp4"),
        ("scenario=-1", "scenario: -1 is not allowed, expected an integer >= 0"),
        ("frames=1", "frames: 1 is not allowed"),
        ("secons=1", "secons: no such key, did you mean seconds?"),
        ("+policy=a:b", "policy: no such key"),
    ],
)
def test_what_is_wrong_is_one_line(word, line, storelab, tmp_path):
    ended = storelab(tmp_path, "watch", "nowhere", word)
    assert ended.status == 2
    assert ended.err.startswith(line)
    assert ended.err.count("\n") == 1
