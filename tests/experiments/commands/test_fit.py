"""`storelab fit`: every kind of model from config to card, what a killed run leaves, and the table over runs."""

import json

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from storelab import language, recommendation
from storelab.data.privacy import fingerprint
from storelab.experiments.commands.fit import fit
from storelab.experiments.commands.runs import runs
from storelab.experiments.config.options import register
from storelab.experiments.config.settings import ConfigError, read_fit
from storelab.experiments.fitting import models
from storelab.experiments.fitting.datasets import DATASETS, Questions
from storelab.experiments.reports.sweep import sweep_report
from storelab.experiments.runs.folder import Run, from_config, to_config
from storelab.experiments.runs.index import read_index
from storelab.learning import training
from storelab.learning.base import load_folder
from storelab.learning.intervals import intervals
from storelab.risk import Scorer

TINY = ("model.epochs=1", "model.progress=false", "model.device=cpu")
STORE = ("dataset.items=30", "dataset.customers=80", "dataset.days=150")
CASES = {  # model -> what else its config needs
    "ease": ("dataset=purchases", *STORE),
    "transformer": ("dataset=purchases", *STORE, *TINY, "model.order_epochs=1", "model.d_model=8", "model.layers=1"),
    "rating_mf": ("dataset=ratings", *STORE),
    "rating_mlp": ("dataset=ratings", *STORE, *TINY, "model.d_model=8"),
    "tfidf": ("dataset=questions", "model.unit=character"),
    "stack": ("model.members=[[tfidf,{}],[tfidf,{unit: character}]]", "dataset.target=stars"),
    "fraud_trees": ("dataset=transactions", "dataset.customers=800", "dataset.days=150", "model.rounds=20"),
    "characters": (*TINY, "dataset.rows=200"),
}


def composed(*overrides: str):
    register(command="fit")
    with initialize_config_module("storelab.conf", version_base="1.3"):
        return compose("fit", overrides=list(overrides))


def fitted(folder, model: str, *more: str) -> Run:
    """The run of a case, done or gone on with."""
    fit(composed(f"runs={folder}", f"model={model}", *CASES[model], *more))
    return Run(max(folder.glob("fit/*"), key=lambda path: path.stat().st_mtime))


@pytest.mark.parametrize("model", CASES)
def test_from_config_to_card(model, tmp_path, monkeypatch, capsys):
    run = fitted(tmp_path, model)
    assert run.done
    settings = run.settings()
    assert from_config(to_config(settings)) == settings
    assert (settings.model_name, settings.seed) == (model, 0)
    figures = run.read("figures.json")
    main = settings.dataset.figure
    assert 0 < figures[model][main] < 2
    result = run.read("results.json")
    assert result["policies"][model]["value"] == figures[model][main]
    _, _, _, card = load_folder(run.folder / "model")
    assert card.figures == figures[model]
    groups = run.read("groups.json")
    assert card.groups == groups
    assert groups
    assert all(row["rows"] > 0 and len(row) > 1 for row in groups.values())
    assert "## By group" in (run.folder / "model" / "README.md").read_text()
    assert "group of test rows" in capsys.readouterr().out
    assert f"{figures[model][main]:.4g}" in (run.folder / "model" / "README.md").read_text()
    saved = models.model_class(model).load(run.folder / "model")
    again = settings.dataset.figures(model, saved, settings.dataset.load(0))
    assert again[model][main] == figures[model][main]  # what is saved is what was measured
    if "rating" not in model:
        assert len(pd.read_csv(run.folder / "explanation.csv"))
    monkeypatch.setattr(models, "model_class", None)  # a finished run is left as it is
    fit(composed(f"runs={tmp_path}", f"model={model}", *CASES[model]))
    assert "nothing to do" in capsys.readouterr().out


def test_it_is_what_the_library_says(tmp_path):
    """The command adds nothing to the figures of the same calls by hand."""
    figures = fitted(tmp_path, "tfidf", "seed=3").read("figures.json")["tfidf"]
    train, test = DATASETS["questions"]().load(3)
    model = language.create("tfidf", unit="character", seed=3).fit(train["text"].tolist(), train["intent"].tolist())
    assert figures["accuracy"] == (np.array(model.predict(test["text"])) == test["intent"].to_numpy()).mean()


@pytest.mark.slow
def test_a_fraud_model_comes_with_its_history(tmp_path, monkeypatch, capsys):
    """A server goes on from it: synthetic ids as they are, those of a file by pseudonyms under the key alone."""
    run = fitted(tmp_path, "fraud_trees")
    data, model = run.settings().dataset.load(0), models.model_class("fraud_trees").load(run.folder / "model")
    last = data["data"].transactions.iloc[-1].to_dict()
    whole = data["data"].transactions.assign(fraud=data["data"].labels["fraud"])
    found = Scorer.restored(model, run.folder / "model").score(last)
    assert found == Scorer(model, whole).score(last)
    assert found != Scorer(model).score(last)
    monkeypatch.delenv("STORELAB_KEY", raising=False)
    models.remember(model, data, True, tmp_path / "none")
    assert "without STORELAB_KEY no history is kept" in capsys.readouterr().out
    monkeypatch.setenv("STORELAB_KEY", "0123abcd-sixteen-or-more")
    models.remember(model, data, True, tmp_path)
    assert Scorer.restored(model, tmp_path).stream.keyed == fingerprint(b"0123abcd-sixteen-or-more")


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = fitted(tmp_path / "whole", "characters", "model.epochs=4")
    advance, steps = training._Run.advance, []

    def failing(run, *args):
        steps.append(run.step)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return advance(run, *args)

    monkeypatch.setattr(training._Run, "advance", failing)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed", "characters", "model.epochs=4")
    killed = fitted(tmp_path / "killed", "characters", "model.epochs=4")
    assert steps[9] > 0  # not from the start
    assert killed.folder.name == whole.folder.name
    first, second = (load_folder(run.folder / "model")[2] for run in (whole, killed))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_test_that_failed_does_not_train_again(tmp_path, monkeypatch):
    figures = DATASETS["purchases"].figures
    monkeypatch.setattr(DATASETS["purchases"], "figures", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fitted(tmp_path, "ease")
    monkeypatch.setattr(DATASETS["purchases"], "figures", figures)
    monkeypatch.setattr(DATASETS["purchases"], "train", None)
    assert fitted(tmp_path, "ease").done


def test_runs_side_by_side(tmp_path, capsys):
    for seed in (0, 1):
        fitted(tmp_path, "ease", f"seed={seed}")
    fitted(tmp_path, "ease", "model.trend=0.1")
    index = read_index(tmp_path)
    assert set(index["command"]) == {"fit"}
    assert set(index["agent"]) == {"ease"}
    assert runs([f"runs={tmp_path}"]) == 0
    assert "NDCG@10" in capsys.readouterr().out
    assert runs(["show", str(tmp_path / index["run"].iloc[0])]) == 0
    assert "dataset.items" in capsys.readouterr().out
    assert runs(["compare", *(str(tmp_path / run) for run in index["run"].iloc[:2])]) == 0
    assert "not paired" in capsys.readouterr().out
    assert sweep_report(str(tmp_path / "fit")) == 0
    assert "ease trend=0.1" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "fit" / "sweep.csv", index_col="model")
    values = [json.loads(path.read_text())["ease"]["NDCG@10"] for path in tmp_path.glob("fit/*/figures.json")]
    plain = found.loc["ease trend=0.0"]
    assert plain["seeds"] == 2
    assert any(plain["NDCG@10"] == pytest.approx((a + b) / 2) for a in values for b in values if a != b)
    assert np.isnan(found.loc["ease trend=0.1", "± NDCG@10"])


def test_errors_by_group_side_by_side(tmp_path, capsys):
    for seed in (0, 1):
        fitted(tmp_path, "ease", f"seed={seed}")
    capsys.readouterr()
    assert sweep_report(str(tmp_path / "fit")) == 0
    assert "group of test rows" in capsys.readouterr().out
    page = (tmp_path / "fit" / "sweep.html").read_text()
    assert "by group of the test rows" in page
    assert "item&#x27;s buyers" in page or "item's buyers" in page


def test_what_reviews_say_has_a_table_and_a_picture_by_item_and_over_time(storelab, tmp_path):
    done = storelab(tmp_path, "fit", "dataset=reviews", "model=tfidf")
    assert done.status == 0, done.err
    folder = tmp_path / done.run
    for name, columns in (
        ("by_item", {"item", "aspect", "reviews", "low"}),
        ("by_month", {"item", "date", "positive"}),
    ):
        assert columns <= set(pd.read_csv(folder / f"{name}.csv").columns)
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"{name}.png" in done.out
    told = storelab(tmp_path, "report", f"run={done.run}")
    assert "by_month.png" in told.out
    assert "typos in 5% of the letters" in told.out


def test_intervals_are_students():
    rows = pd.DataFrame({"model": ["a"] * 3, "seed": [0, 1, 2], "NDCG@10": [0.1, 0.2, 0.3]})
    found = intervals(rows, ["model"]).loc["a"]
    assert found["NDCG@10"] == pytest.approx(0.2)
    assert found["± NDCG@10"] == pytest.approx(4.302653 * 0.1 / 3**0.5)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_table_whose_split_lacks_a_part_is_refused_before_training(tmp_path, missing):
    only = {"train": "test", "test": "train"}[missing]
    table = pd.DataFrame({"text": ["where is it", "how"], "intent": ["place", "way"], "split": only})
    table.to_csv(tmp_path / "asked.csv", index=False)
    with pytest.raises(ValueError, match=f"^split: no row is '{missing}'; expected rows of train and of test"):
        Questions(path=str(tmp_path / "asked.csv")).load(0)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model=ease"], "model: 'ease' is not allowed with this dataset, expected one of tfidf, "),
        (["model=tfidf", "model.shortest=0"], "model.shortest: 0 is not allowed, expected a whole number from 1"),
        (["dataset=online_retail", "model=ease"], "dataset.path: not set, expected dataset.path=VALUE"),
        (
            ["dataset=online_retail", "model=ease", "dataset.path=x", "dataset.first=3/4/2011"],
            "dataset.first: '3/4/2011' is not allowed, expected a day as YYYY-MM-DD",
        ),
        (["dataset.target=size"], "dataset.target: 'size' is not allowed, expected positive or stars"),
        (
            ["dataset=transactions", "model=fraud_sequence", "model.method=lora"],
            "model.method: 'lora' is not allowed, expected",
        ),
        (["dataset=purchases", "model=ease", "dataset.test_days=0"], "dataset.test_days: 0 is not allowed, expected"),
    ],
)
def test_bad_configs_end_in_one_line(overrides, line):
    with pytest.raises(ConfigError) as caught:
        read_fit(composed(*overrides))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_every_model_is_an_option():
    everything = {*language.CLASSIFIERS, *recommendation.RECOMMENDERS}
    assert everything < set(models.MODELS)
    assert {model for dataset in DATASETS.values() for model in dataset.models} == set(models.MODELS)
    for name in models.MODELS:
        assert models.params_of(name, vars(models.schema(name)()), 1, "somewhere")
