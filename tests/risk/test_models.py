"""Models: what they may see, seeds, calibration, explanations, saving, and scores one by one equal to a batch's."""

import numpy as np
import pandas as pd
import pytest
import torch
from storelab.learning.base import Card
from storelab.risk import FEATURES, Scorer, TreesParams, features, split_by_time
from storelab.risk.features import STORE
from storelab.risk.metrics import average_precision
from storelab.risk.sequence import CHANNELS, LIST_OF, SequenceModel, SequenceParams, _Network
from storelab.risk.tabular import Calibration, Scaling, Trees, baselines
from storelab.risk.transactions import columns

CARD = Card(data="synthetic", split="by time", figures={"AUPRC": 0.5}, intended_use="tests", limits="small")
SMALL = {"epochs": 1, "width": 16, "progress": False}


@pytest.fixture(scope="module")
def parts(data):
    return split_by_time(columns(data.transactions)["time"])


@pytest.fixture(scope="module")
def fraud(data):
    return data.labels["fraud"].to_numpy()


def sequence_model(data, table, fraud, parts) -> SequenceModel:
    model = SequenceModel(SequenceParams(**SMALL), TreesParams(rounds=30))
    return model.fit(data.transactions, table, fraud, parts.train, parts.validation)


@pytest.fixture(scope="module")
def models(data, table, fraud, parts):
    trees = Trees(TreesParams(rounds=40)).fit(table[parts.train], fraud[parts.train])
    trees.calibrate(table[parts.validation], fraud[parts.validation])
    return {"trees": trees, "sequence": sequence_model(data, table, fraud, parts)}


def test_the_learned_find_fraud_better_than_chance_and_than_one_feature(models, data, table, fraud, parts):
    test, target = parts.test, fraud[parts.test]
    alone = np.nan_to_num(table[test], nan=-1.0)
    single = max(average_precision(target, sign * column) for column in alone.T for sign in (1, -1))
    assert average_precision(target, models["trees"].margins(table[test])) > single + 0.1
    assert average_precision(target, models["sequence"].margins(data.transactions, table, test)) > single + 0.1


def tokens_of(rows: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random tokens, categories, absence and margins, as the network takes them; the present token is there."""
    shape = (rows, len(LIST_OF))
    absent = torch.rand(shape, generator=generator) < 0.5
    absent[:, 0] = False
    category = torch.randint(4, shape, generator=generator)
    return [
        torch.randn(*shape, CHANNELS, generator=generator),
        category,
        absent,
        torch.randn(rows, generator=generator),
    ]


def test_networks_side_by_side_are_networks_alone():
    """Each gives what one of its weights alone gives; attention is torch's; what is absent is not read."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        together = _Network(SequenceParams(members=3, width=16), 3).eval()
        alone = _Network(SequenceParams(members=1, width=16), 3).eval()
        attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    batch = tokens_of(5, generator)
    assert torch.equal(together(*batch), batch[3].expand(3, -1))  # untrained, it says what the trees say
    for weight in together.parameters():
        weight.data.normal_(generator=generator)
    margins = together(*batch)
    for member in range(3):
        alone.load_state_dict({name: value[member : member + 1] for name, value in together.state_dict().items()})
        torch.testing.assert_close(alone(*batch)[0], margins[member])
    tokens, category, absent, margin = batch
    torch.testing.assert_close(
        alone(torch.where(absent[..., None], 9.0, tokens), category, absent, margin), margins[2:]
    )

    parts = (alone.query, alone.key, alone.value)
    attention.in_proj_weight.data = torch.cat([part.weight[0].T for part in parts])
    attention.in_proj_bias.data = torch.cat([part.bias[0, 0] for part in parts])
    attention.out_proj.weight.data, attention.out_proj.bias.data = alone.read.weight[0].T, alone.read.bias[0, 0]
    norm = lambda x: torch.nn.functional.layer_norm(x, (16,))
    gelu = torch.nn.functional.gelu
    known = norm(alone.mix(gelu(alone.token(tokens.flatten(0, 1)[None]) + alone.category[0, category.flatten()])))
    known = known[0].unflatten(0, absent.shape)
    now = known[:, :1] + attention(known[:, :1], known, known, key_padding_mask=absent)[0]
    now = now[:, 0][None]
    now = now + alone.narrow(gelu(alone.wide(norm(now))))
    expected = margin + alone.last(gelu(alone.head(norm(now))))[0, :, 0]
    torch.testing.assert_close(margins[2], expected, rtol=1e-4, atol=1e-4)


def test_what_is_not_known_on_the_day_of_service_changes_nothing(models, data, table, fraud, parts):
    """Labels of the last 7 days and later are flipped, transactions from that day on are others: equal weights."""
    other, labels = data.transactions.copy(), fraud.copy()
    labels[parts.validation.stop :] ^= True
    labels[: parts.train.start] ^= True
    other.loc[parts.test.start :, "amount"] = 1.0
    other.loc[parts.test.start :, "customer"] = "somebody"
    again = sequence_model(data, table, fraud, parts)
    changed = SequenceModel(again.params, again.trees.params)
    changed.fit(other, features(other), labels, parts.train, parts.validation)
    assert again.trees.text().tobytes() == changed.trees.text().tobytes()
    assert again.calibration == changed.calibration == models["sequence"].calibration
    for first, second in zip(again.network.parameters(), changed.network.parameters(), strict=True):
        np.testing.assert_array_equal(first.detach(), second.detach())
    before = slice(parts.validation.start, parts.test.start)
    expected = again.predict(data.transactions, table, before)
    np.testing.assert_array_equal(changed.predict(other, features(other), before), expected)


@pytest.mark.parametrize("name", ["trees", "sequence"])
def test_one_by_one_equals_a_batch(models, data, name):
    model, rows = models[name], data.transactions.iloc[4000:4600].reset_index(drop=True)
    table = features(rows)
    batch = model.predict(table) if name == "trees" else model.predict(rows, table)
    scorer = Scorer(model, rows.head(300))
    scores = [scorer.score(row) for row in rows.iloc[300:].to_dict("records")]
    np.testing.assert_allclose(scores, batch[300:], rtol=1e-4)
    assert ((batch > 0) & (batch < 1)).all()


@pytest.fixture(scope="module")
def informed(data, fraud, parts):
    """Models with known frauds."""
    table = features(data.transactions, STORE, fraud)
    trees = Trees(TreesParams(rounds=40), STORE).fit(table[parts.train], fraud[parts.train])
    trees.calibrate(table[parts.validation], fraud[parts.validation])
    sequence = SequenceModel(SequenceParams(**SMALL), TreesParams(rounds=30), STORE)
    sequence.fit(data.transactions, table, fraud, parts.train, parts.validation)
    return table, {"trees": trees, "sequence": sequence}


@pytest.mark.parametrize("name", ["trees", "sequence"])
def test_late_labels_one_by_one_equal_a_batch_across_a_saved_state(informed, data, fraud, name, tmp_path):
    """History with labels, then reports as they come; in the middle the scorer is saved, and another goes on."""
    model, start, cut, end = informed[1][name], 4000, 4300, 4600
    rows, labels = data.transactions.iloc[start:end].reset_index(drop=True), fraud[start:end].copy()
    labels[::7] = True
    stamp = rows["timestamp"].to_numpy()
    known = stamp + np.timedelta64(1, "h")
    table = features(rows, STORE, labels, known)
    assert table[:, [" known frauds" in name for name in STORE.names]].max() > 0
    batch = model.predict(table) if name == "trees" else model.predict(rows, table)
    history = rows.assign(fraud=labels, known_at=known).iloc[: cut - start]
    scorer, told = Scorer(model, history), cut - start
    scores, given = [], rows.to_dict("records")
    for number in range(cut - start, end - start):
        if number == 450:
            scorer.save(tmp_path, CARD)
            scorer = Scorer.restored(type(model).load(tmp_path), tmp_path)
        while known[told] < stamp[number]:
            if labels[told]:
                scorer.report(given[told], known[told])
            told += 1
        scores.append(scorer.score(given[number]))
    np.testing.assert_allclose(scores, batch[cut - start :], rtol=1e-4)
    raw = (tmp_path / "stream.npz").read_bytes()
    assert not any(who.encode() in raw for who in rows["customer"].unique())
    with pytest.raises(ValueError, match="of the features"):
        Scorer.restored(Trees(TreesParams()), tmp_path)


def test_a_transaction_needs_its_core_columns_alone(informed, data):
    scorer, row = Scorer(informed[1]["trees"]), data.transactions.iloc[0].to_dict()
    core = {name: row[name] for name in ("timestamp", "customer", "amount")}
    assert 0 < scorer.score(core) < 1
    with pytest.raises(ValueError, match="column 'amount': missing"):
        scorer.score({"timestamp": row["timestamp"], "customer": "c"})


@pytest.mark.parametrize("name", ["trees", "sequence"])
def test_a_refused_transaction_leaves_the_scorer_as_it_was(models, data, name):
    first, second = data.transactions.iloc[:2].to_dict("records")
    scorer, other = Scorer(models[name]), Scorer(models[name])
    for one in (scorer, other):
        one.score(first)
    for bad in ({"amount": -3.0}, {"kind": "gift"}, {"timestamp": first["timestamp"] - pd.Timedelta(days=1)}):
        with pytest.raises(ValueError, match="expected"):
            scorer.score(second | bad)
    assert scorer.score(second) == other.score(second)


@pytest.mark.parametrize("name", ["trees", "sequence"])
def test_empty_batch_and_saving(models, data, table, name, tmp_path):
    model, few = models[name], slice(0, 40)
    given = (table,) if name == "trees" else (data.transactions, table)
    assert model.predict(*(part[:0] for part in given)).shape == (0,)
    model.save(tmp_path, CARD)
    assert "synthetic" in (tmp_path / "README.md").read_text()
    again = type(model).load(tmp_path)
    np.testing.assert_array_equal(
        again.predict(*(part[few] for part in given)), model.predict(*(part[few] for part in given))
    )
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match="checksum"):
        type(model).load(tmp_path)


def test_explanations_add_up(models, table):
    trees = models["trees"]
    for row in table[5000:5005]:
        parts = trees.explain(row)
        assert parts["contribution"].sum() == pytest.approx(trees.margins(row[None])[0], abs=1e-6)
        assert set(parts["feature"]) == {"baseline", *FEATURES}
        sizes = parts["contribution"][1:].abs()
        assert (sizes.diff().dropna() <= 0).all()


def test_calibration_finds_the_odds_that_made_the_labels():
    """Labels drawn with log odds 0.5 x margin - 2: Platt scaling finds both numbers."""
    rng = np.random.default_rng(0)
    margin = rng.normal(0.0, 3.0, 100_000)
    chance = Calibration(0.5, -2.0)(margin)
    fitted = Calibration.fit(margin, rng.random(100_000) < chance)
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-2.0, abs=0.05))
    with pytest.raises(ValueError, match="fraud: "):
        Calibration.fit(margin, np.zeros(100_000, bool))


def test_scaled_features_are_standard_and_whole(table):
    scaled = Scaling.fit(table)(table)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= 5
    seen = ~np.isnan(table).any(axis=0)
    np.testing.assert_allclose(scaled[:, seen].mean(axis=0), 0.0, atol=0.1)


def test_baselines_rank_fraud_above_chance(table, fraud, parts):
    by_name = baselines(table[parts.train][::4], fraud[parts.train][::4], seed=0)
    for name, margins in by_name.items():
        assert average_precision(fraud[parts.test], margins(table[parts.test])) > 1.2 * fraud[parts.test].mean(), name


def test_bad_input(table, fraud):
    with pytest.raises(ValueError, match="no trees"):
        Trees().margins(table)
    with pytest.raises(ValueError, match="no weights"):
        SequenceModel().margins(None, table)
    with pytest.raises(ValueError, match=r"^table: shape \(\d+, 3\)"):
        Trees().fit(table[:, :3], fraud)
    with pytest.raises(ValueError, match="fraud: "):
        Trees().fit(table, np.zeros(len(table), bool))
    for bad in ({"rounds": 0}, {"learning_rate": 2.0}, {"leaves": 1.5}):
        with pytest.raises(ValueError, match=f"^{next(iter(bad))}"):
            TreesParams(**bad)
    with pytest.raises(ValueError, match="width: 30 is not allowed"):
        SequenceParams(width=30)
