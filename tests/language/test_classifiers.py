"""Every classifier learns, is saved, gives the same again, in batches and alone, and has an answer to any text."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from storelab.language import create, load
from storelab.language.backbone import groups_of
from storelab.language.base import expected_calibration_error, fit_temperature, log_loss, pieces, softmax
from storelab.language.fine_tuned import FineTuned
from storelab.language.synthetic import synthetic_reviews
from storelab.learning.base import Card

CARD = Card("made-up reviews", "by seed", {}, "tests", "nothing else")
NAMES = ("tfidf", "embedding", "nearest", "fine_tuned", "characters", "stack")


def made(name: str, backbone: str, **more):
    quiet = {"progress": False, "epochs": 3}
    params = {
        "tfidf": {},
        "embedding": {"backbone": backbone},
        "nearest": {"backbone": backbone, "head": "nearest"},
        "fine_tuned": {"backbone": backbone, "learning_rate": 1e-3, **quiet},
        "characters": {"width": 16, "channels": 16, "learning_rate": 0.01, "batch_size": 16, **quiet, "epochs": 6},
        "stack": {"members": [["tfidf", {}], ["embedding", {"backbone": backbone}]]},
    }[name]
    return create({"nearest": "embedding"}.get(name, name), **{**params, **more})


@pytest.fixture(scope="module")
def models(backbone, english):
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    return {name: made(name, backbone).fit(texts, labels) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_learns(name, models, english):
    test = english[1]
    majority = max(test["positive"].mean(), 1 - test["positive"].mean())
    predicted = models[name].predict(test["text"])
    assert np.mean(np.array(predicted) == test["positive"]) > majority + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded(name, models, english, tmp_path):
    models[name].save(tmp_path, CARD)
    texts = [*english[1]["text"][:20], ""]
    again = load(tmp_path)
    np.testing.assert_allclose(again.predict_proba(texts), models[name].predict_proba(texts), atol=1e-6)
    np.testing.assert_allclose(again.familiarity(texts), models[name].familiarity(texts), atol=1e-6)
    assert again.labels == [0, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors", "README.md"}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_a_batch_is_a_batch_of_one(name, models, english):
    texts = english[1]["text"][:8].tolist()
    alone = np.concatenate([models[name].predict_proba([text]) for text in texts])
    np.testing.assert_allclose(models[name].predict_proba(texts), alone, atol=1e-5)


@pytest.mark.parametrize("name", ["embedding", "nearest", "stack"])
def test_what_is_like_no_training_text_is_less_familiar(name, models, english):
    seen, strange = english[0]["text"][:20].tolist(), ["zqxj 4711 vwkp", "9 9 9 9 9 9 9 9 9 9"]
    familiarity = models[name].familiarity([*seen, *strange, "", "!!"])
    np.testing.assert_allclose(familiarity[:20], 1.0)
    np.testing.assert_array_equal(familiarity[22:], 1.0)  # without words: the labels' shares answer, whatever it was
    assert ((familiarity >= 0) & (familiarity < 0.99))[20:22].all()
    assert models[name].familiarity([]).shape == (0,)
    np.testing.assert_array_equal(models["tfidf"].familiarity(strange), 1.0)  # it cannot tell


@pytest.mark.parametrize("call", ["predict_proba", "familiarity", "predict"])
def test_one_that_is_not_fitted_says_so(call):
    with pytest.raises(ValueError, match="tfidf is not fitted: call fit or load one"):
        getattr(create("tfidf"), call)(["fits well"])


@pytest.mark.parametrize("name", ["tfidf", "fine_tuned", "characters"])
def test_one_seed_one_result(name, models, backbone, english):
    again = made(name, backbone).fit(english[0]["text"].tolist(), english[0]["positive"].tolist())
    texts = english[1]["text"]
    np.testing.assert_array_equal(again.predict_proba(texts), models[name].predict_proba(texts))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(text=st.text(max_size=60))
@example(text="")
@example(text="😡😡😡")
@example(text="x" * 12_000)
@example(text="好" * 12_000)
@example(text="fits 很好 очень \u0600 \x00")
def test_any_text_has_probabilities(name, models, text):
    model = models[name]
    probabilities = model.predict_proba([text])
    assert probabilities.shape == (1, 2)
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1)
    if not any(character.isalnum() for character in text):
        np.testing.assert_array_equal(probabilities[0], model.prior)
        assert model.attribute(text, 1) == []


def test_few_texts_per_label_by_the_contrastive_loss(backbone):
    texts = ["fits well", "fits perfectly", "too expensive", "average price", "fast shipping", "slow shipping"] * 2
    labels = ["size", "size", "price", "price", "delivery", "delivery"] * 2
    params = {"loss": "contrastive", "validation": 0.0, "epochs": 10, "batch_size": 6}
    model = made("fine_tuned", backbone, **params).fit(texts, labels)
    assert model.predict(texts) == labels
    assert model.temperature == 1.0


@pytest.mark.parametrize("method", ["head", "adapter", "lora", "adalora"])
def test_methods_of_fine_tuning(method, backbone, english, tmp_path):
    texts, labels = english[0]["text"][:80].tolist(), english[0]["positive"][:80].tolist()
    model = made("fine_tuned", backbone, method=method, rank=2, epochs=1).fit(texts, labels)
    assert 0 < model.trained < sum(weight.numel() for weight in model.network.parameters())
    model.save(tmp_path, CARD)
    np.testing.assert_allclose(load(tmp_path).predict_proba(texts), model.predict_proba(texts), atol=1e-5)


def test_a_short_budget_trains_on_fewer_texts(backbone, english):
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    model = made("fine_tuned", backbone, most_texts=32, epochs=1).fit(texts, labels)
    assert 1 <= model.history[-1]["step"] <= 2  # 32 texts, or one or two more for a label that has none among them


def test_frozen_layers_stay(backbone, english):
    texts, labels = english[0]["text"][:80].tolist(), english[0]["positive"][:80].tolist()
    model = made("fine_tuned", backbone, frozen_layers=1, epochs=1, patience=9).fit(texts, labels)
    fresh = made("fine_tuned", backbone, epochs=0).fit(texts, labels)
    now, before = model.network.state_dict(), fresh.network.state_dict()
    changed = {name for name in now if not bool((now[name] == before[name]).all())}
    assert not any("embeddings" in name or "layer.0." in name for name in changed)
    if any(row["validation_loss"] < model.history[0]["validation_loss"] for row in model.history[1:]):
        assert any("layer.1." in name for name in changed)
    with pytest.raises(ValueError, match="frozen_layers: 3 is not allowed, expected 0 to 2"):
        made("fine_tuned", backbone, frozen_layers=3).fit(texts, labels)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_fewer_layers_are_kept_and_saved(method, backbone, english, tmp_path):
    """The lowest layer's states are those of the whole encoder, and the folder needs no more."""
    texts, labels = english[0]["text"][:80].tolist(), english[0]["positive"][:80].tolist()
    whole = made("fine_tuned", backbone, epochs=0).fit(texts, labels).network.eval()
    short = made("fine_tuned", backbone, epochs=0, layers=1).fit(texts, labels).network.eval()
    numbers, mask = whole.pad(whole.tokens(texts[:5], 32))
    expected = whole.encoder(numbers, mask, output_hidden_states=True).hidden_states[1]
    assert bool((short.encoder(numbers, mask).last_hidden_state == expected).all())
    model = made("fine_tuned", backbone, layers=1, method=method, epochs=1).fit(texts, labels)
    assert not any("layer.1." in name for name in model.network.state_dict())
    model.save(tmp_path, CARD)
    np.testing.assert_allclose(load(tmp_path).predict_proba(texts), model.predict_proba(texts), atol=1e-5)
    with pytest.raises(ValueError, match="layers: 3 is not allowed, expected 0 to 2, the encoder's layers"):
        made("fine_tuned", backbone, layers=3).fit(texts, labels)


def test_integrated_gradients_sum_to_the_difference_of_log_odds(models):
    """Completeness (Sundararajan et al. 2017, proposition 1); 32 steps leave a few per cent."""
    model, text = models["fine_tuned"], "fits well, too expensive"
    parts = model.attribute(text, 1)
    assert [text[a.start : a.stop] for a in parts] == [a.piece for a in parts]
    network = model.network
    tokens = network.tokens([text], model.params.tokens)[0]
    blank = [tokens[0], *[network.pad_number] * (len(tokens) - 2), tokens[-1]]
    import torch

    with torch.no_grad():
        logits = torch.stack(
            [
                network.head(network.encode(network.embed(torch.tensor([row])), torch.ones(1, len(row))))[0]
                for row in (tokens, blank)
            ]
        )
    gap = ((logits[0, 1] - logits[0, 0]) - (logits[1, 1] - logits[1, 0])) / model.temperature
    assert sum(a.value for a in parts) == pytest.approx(float(gap), rel=0.1, abs=0.02)


def test_occlusion_finds_the_word(sentiment):
    parts = {a.piece: a.value for a in sentiment.attribute("gorgeous design, too expensive", 1)}
    assert parts["gorgeous"] > 0 > parts["expensive"]
    assert [a.piece for a in sentiment.attribute("质量 ok", 1)] == ["质", "量", "ok"]
    with pytest.raises(ValueError, match="label: 7 is not allowed, expected one of 0, 1"):
        sentiment.attribute("fine", 7)


@given(st.text(max_size=3000))
def test_pieces_are_few_and_in_order(text):
    spans = pieces(text)
    assert len(spans) <= 128
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_temperature_finds_the_factor():
    """Logits of labels drawn from them, times 3: the temperature that undoes it is 3."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 3))
    codes = (softmax(logits).cumsum(1) > generator.random((20_000, 1))).argmax(1)
    assert fit_temperature(3 * logits, codes) == pytest.approx(3, rel=0.05)
    assert (
        expected_calibration_error(softmax(logits), codes)
        < 0.02
        < expected_calibration_error(softmax(3 * logits), codes)
    )


def test_a_stack_is_no_worse_than_its_members_where_it_is_weighed(backbone, english):
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    stack = made("stack", backbone).fit(texts, labels)
    assert (stack.weights >= 0).all()
    held = np.random.default_rng(0).permutation(len(texts))[: round(0.1 * len(texts))]
    stack._fit(
        [t for n, t in enumerate(texts) if n not in held],
        np.delete(labels, held),
        [texts[n] for n in held],
        np.array(labels)[held],
    )
    parts = stack._parts([texts[n] for n in held])
    best = min(log_loss(part, np.array(labels)[held]) for part in parts)
    assert log_loss(np.tensordot(stack.weights, parts, 1), np.array(labels)[held]) <= best + 1e-3


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("tfidf", {"unit": "byte"}, "unit: 'byte' is not allowed, expected one of word"),
        ("tfidf", {"colour": 1}, "colour: 1 is not allowed for tfidf, expected one of the parameters unit, shortest"),
        ("tfidf", {"longest": 0}, "longest: 0 is not allowed, expected a whole number from 1"),
        ("fine_tuned", {"tokens": 4}, "tokens: 4 is not allowed, expected a whole number from 8 to 512"),
        ("fine_tuned", {"method": "lora", "frozen_layers": 1}, "frozen_layers: 1 is not allowed, expected 0 with"),
        ("stack", {"members": [["tfidf", {}]]}, "members: .* is not allowed, expected two or more"),
        ("oracle", {}, "classifier: 'oracle' is not allowed, expected one of tfidf, embedding"),
    ],
)
def test_bad_parameters(name, params, message):
    with pytest.raises(ValueError, match=message):
        create(name, **params)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", "b"], [1], "labels has 1 values|labels has 1 entries"),
        (["a", "b", "c"], [0, 1], "labels has 2 entries: allowed are as many as texts, 3"),
        (["a", "b"], [0.5, 1], "labels holds 0.5: allowed are str and int"),
        (["a", "!!"], [0, 1], "no words at all"),
    ],
)
def test_bad_training_rows(texts, labels, message):
    with pytest.raises(ValueError, match=message):
        create("tfidf").fit(texts, labels)


def test_a_backbone_that_is_none(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"backbone: .* is not allowed, expected a hub name or a folder"):
        create("fine_tuned", backbone=str(tmp_path), progress=False).fit(["a b", "c d"] * 10, [0, 1] * 10)


def test_weights_that_are_pickled_are_refused(backbone, tmp_path):
    import shutil

    import torch
    from safetensors.torch import load_file

    shutil.copytree(backbone, tmp_path, dirs_exist_ok=True)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"backbone: .* is not allowed, expected"):
        create("fine_tuned", backbone=str(tmp_path), progress=False).fit(["a b", "c d"] * 10, [0, 1] * 10)


@pytest.fixture(scope="module")
def with_head(backbone, tmp_path_factory):
    """Return a function that saves the tiny encoder with a classification head of some labels."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    def save(*names, **more):
        folder = tmp_path_factory.mktemp("head")
        torch.manual_seed(1)
        ids = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
        BertForSequenceClassification.from_pretrained(backbone, **ids, **more).save_pretrained(folder)
        AutoTokenizer.from_pretrained(backbone).save_pretrained(folder)
        return str(folder)

    return save


def by_transformers(folder, texts):
    """Probabilities of the checkpoint's own labels, by transformers' own way."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model.eval()(**tokenizer(texts, return_tensors="pt", padding=True)).logits.softmax(1).numpy()


def test_a_checkpoints_own_head_is_used_as_it_is(with_head, tmp_path):
    texts = ["fits well, fast shipping", "broken"]
    folder = with_head("Negative", "Neutral", "Positive")
    own = by_transformers(folder, texts)
    model = FineTuned.of(folder)
    expected = own[:, [0, 2]] / own[:, [0, 2]].sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(texts), expected, atol=1e-5)
    model.save(tmp_path, CARD)
    np.testing.assert_allclose(load(tmp_path).predict_proba(texts), expected, atol=1e-5)
    assert sum(part.value for part in model.attribute(texts[0], 1)) != 0
    stars = with_head(*(f"{n} stars" for n in range(1, 6)))
    np.testing.assert_allclose(
        FineTuned.of(stars, range(1, 6)).predict_proba(texts), by_transformers(stars, texts), atol=1e-5
    )
    for bad, labels in ((with_head("cat", "dog"), (0, 1)), (folder, (1, 2, 3, 4, 5))):
        with pytest.raises(ValueError, match="expected an encoder with a classification head for"):
            FineTuned.of(bad, labels)


@pytest.mark.parametrize("kind", ["DistilBert", "Electra", "MPNet", "RobertaPreLayerNorm"])
@pytest.mark.parametrize(
    "names",
    [
        ("POSITIVE", "NEGATIVE"),
        ("negative (stars 1, 2 and 3)", "positive (stars 4 and 5)"),
        ("Very Negative", "Positive"),
    ],
)
def test_heads_of_other_architectures(kind, names, backbone, tmp_path):
    """With the names that published checkpoints have; the answer is transformers' own, in our order of labels."""
    import torch
    import transformers

    torch.manual_seed(2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone)
    small = {"vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    small |= {"intermediate_size": 16, "pad_token_id": tokenizer.pad_token_id, "max_position_embeddings": 130}
    if kind == "DistilBert":
        small |= {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    config = getattr(transformers, f"{kind}Config")(**small, id2label=dict(enumerate(names)))
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = ["fits well, fast shipping", "broken"]
    own = by_transformers(str(tmp_path), texts)
    positive = [place for place, name in enumerate(names) if name.lower().startswith("positive")]
    np.testing.assert_allclose(
        FineTuned.of(str(tmp_path)).predict_proba(texts)[:, 1], own[:, positive].sum(1), atol=1e-5
    )


def test_fitting_goes_on_from_a_checkpoints_head(with_head, english):
    folder, table = with_head("LABEL_0", "LABEL_1"), english[0][:100]
    texts, labels = table["text"].tolist(), table["positive"].tolist()
    still = create("fine_tuned", backbone=folder, epochs=0, validation=0.0).fit(texts, labels)
    np.testing.assert_allclose(still.predict_proba(texts[:4]), by_transformers(folder, texts[:4]), atol=1e-5)
    quiet = {"learning_rate": 3e-3, "validation": 0.0, "progress": False}
    for method, epochs in (("full", 25), ("head", 2)):
        model = create("fine_tuned", backbone=folder, method=method, epochs=epochs, **quiet).fit(texts, labels)
        moved, kept = (dict(one.network.named_parameters()) for one in (model, still))
        changed = {name for name in kept if not np.allclose(moved[name].detach(), kept[name].detach())}
        assert any("classifier" in name for name in changed)
        assert any("embeddings" in name for name in changed) == (method == "full")
        if method == "full":
            assert np.mean(np.array(model.predict(texts)) == labels) > 0.9  # at first .53 or less
    new = create("fine_tuned", backbone=folder, epochs=0, head="new", validation=0.0).fit(texts, labels)
    assert not np.allclose(new.predict_proba(texts[:4]), still.predict_proba(texts[:4]), atol=1e-3)


@pytest.mark.parametrize(
    ("names", "labels", "groups"),
    [
        (("NEGATIVE", "POSITIVE"), (0, 1), [0, 1]),
        (("POSITIVE", "NEGATIVE"), (0, 1), [1, 0]),
        (("1 star", "2 stars", "3 stars", "4 stars", "5 stars"), (0, 1), [0, 0, -1, 1, 1]),
        (("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"), (1, 2, 3, 4, 5), [0, 1, 2, 3, 4]),
        (("Very Negative", "Negative", "Neutral", "Positive", "Very Positive"), (0, 1), [0, 0, -1, 1, 1]),
        (("refund", "cancel"), ("cancel", "refund"), [1, 0]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), (0, 1), None),
        (("negative", "positive"), ("cancel", "refund"), None),
    ],
)
def test_labels_of_a_checkpoint_are_read_as_ours(names, labels, groups):
    assert groups_of(dict(enumerate(names)), labels) == groups


def test_an_encoder_of_many_languages_by_its_folder(tmp_path):
    """XLM-RoBERTa, tiny, with a Unigram tokeniser: a sentiment of Chinese and English reviews."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    tables = [synthetic_reviews(150, language) for language in ("en", "zh")]
    texts = [text for table in tables for text in table["text"]]
    positive = [label for table in tables for label in table["positive"]]
    letters = sorted({letter for text in texts for letter in text if letter != " "})
    names = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters]
    tokenizer = Tokenizer(models.Unigram([(name, -1.0) for name in names], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ids = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ids).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    XLMRobertaModel(XLMRobertaConfig(vocab_size=len(names), pad_token_id=1, **sizes)).save_pretrained(tmp_path)
    frozen = create("embedding", backbone=str(tmp_path), strength=1e3).fit(texts, positive)
    assert np.mean(np.array(frozen.predict(texts[150:])) == positive[150:]) > 0.7
    tuned = create("fine_tuned", backbone=str(tmp_path), epochs=1, progress=False).fit(texts, positive)
    assert tuned.predict_proba(["物流神速", "fits perfectly", "muy bueno"]).shape == (3, 2)
    assert tuned.readable(["物流神速", "muy bueno"]).all()  # which languages it reads is not known


@pytest.mark.parametrize(
    "text",
    ["muy bueno, me encanta", "no me gusta", "je suis très déçu", "sehr gute Qualität", "ottimo prodotto",
     "отличный товар", "とても良いです", "아주 좋아요", "非常好,喜欢"],
)  # fmt: skip
def test_another_language_is_not_rated(text, models):
    for name in ("tfidf", "characters"):
        assert not models[name].readable([text]).any()
        np.testing.assert_array_equal(models[name].predict_proba([text])[0], models[name].prior)
    assert models["fine_tuned"].readable([text]).all()  # an encoder of the user's own may know it


@pytest.mark.parametrize(
    "text", ["adorable!", "so comfy, would buy again", "size M", "lol", "naïve design but great", "5/5"]
)
def test_english_is_read(text, models):
    assert models["tfidf"].readable([text]).all()


def test_held_rows_calibrate_and_do_not_train(english):
    texts, labels = english[0]["text"].tolist()[:100], english[0]["positive"].tolist()[:100]
    held = create("tfidf").fit(texts, labels, held=range(80, 100))
    rest = create("tfidf", validation=0.0).fit(texts[:80], labels[:80])
    np.testing.assert_allclose(held._logits(texts), rest._logits(texts), atol=1e-6)
    assert held.temperature == fit_temperature(rest._logits(texts[80:]), np.array(labels[80:])) != 1.0


def test_an_encoder_of_bytes_is_near_and_saved_as_bytes(backbone, english, tmp_path, monkeypatch):
    from functools import partial

    from storelab.learning import int8

    monkeypatch.setattr("storelab.language.fine_tuned.to_int8", partial(int8.to_int8, least=8))  # the tests' is narrow
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    plain, small = (made("fine_tuned", backbone, inference=how).fit(texts, labels) for how in ("float32", "int8"))
    asked = english[1]["text"].tolist()
    assert abs(plain.predict_proba(asked) - small.predict_proba(asked)).mean() < 0.05
    for model, folder in ((plain, tmp_path / "plain"), (small, tmp_path / "made")):
        model.save(folder, CARD)
        np.testing.assert_allclose(load(folder).predict_proba(asked), model.predict_proba(asked), atol=1e-5)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("plain", "made")]
    assert sizes[1] < sizes[0]
    assert small.attribute("I love it", 1)  # gradients go through floats


def test_a_student_learns_what_its_teacher_says(backbone, english, tmp_path):
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    teacher = made("fine_tuned", backbone, epochs=6).fit(texts, labels)
    teacher.save(tmp_path, CARD)
    asked = english[1]["text"].tolist()
    said = teacher.predict_proba(asked)
    wrong = [1 - label for label in labels]  # half of what it learns from; the teacher says the other half
    alone = made("fine_tuned", backbone).fit(texts, wrong).predict_proba(asked)
    taught = made("fine_tuned", backbone, teacher=str(tmp_path)).fit(texts, wrong).predict_proba(asked)
    assert abs(taught - said).mean() < abs(alone - said).mean() - 0.1
    for more, field in (({"teacher": str(tmp_path / "none")}, "holds no usable"), ({"epochs": 0}, "teacher")):
        with pytest.raises(ValueError, match=field):
            made("fine_tuned", backbone, **({"teacher": str(tmp_path)} | more)).fit(texts, labels)
    with pytest.raises(ValueError, match="a classifier of the labels"):
        made("fine_tuned", backbone, teacher=str(tmp_path)).fit(texts, [label + 3 for label in labels])


def test_a_frozen_encoder_of_bytes(backbone, english):
    texts, labels = english[0]["text"].tolist(), english[0]["positive"].tolist()
    plain, small = (made("embedding", backbone, inference=how).fit(texts, labels) for how in ("float32", "int8"))
    asked = english[1]["text"].tolist()
    assert abs(plain.predict_proba(asked) - small.predict_proba(asked)).mean() < 0.05
