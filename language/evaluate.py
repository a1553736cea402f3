"""`python -m storelab.language.evaluate WHAT DATA --models MODEL ...`: a table of classifiers on a test split.

WHAT is `robustness` (typos, paraphrase), `out_of_scope` (questions of intents never seen), `languages` (one model on
the texts of each file) or `speed`; accuracy, AUC and calibration are `storelab fit`'s. `service` says what customer
service makes of messages (ours, or of a JSON file as messages.json), `passages` which confidence a passage needs.
Rows are printed as Markdown as they come; with --out they are also written as CSV.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.sheets import write_csv
from ..learning.base import write_atomic
from ..reading import read_json
from . import create
from .answers import PERSON, read_answers
from .base import OUTSIDE, TextClassifier, expected_calibration_error, log_loss, softmax, threshold_for
from .noise import paraphrased, with_typos
from .stack import Stack
from .tables import read, split
from .text import clean, language


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half (Mann-Whitney)."""
    from scipy.stats import rankdata

    positive = np.asarray(positive, bool)
    count = positive.sum()
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / (count * (~positive).sum()))


def measures(model: TextClassifier, probabilities: np.ndarray, labels: list) -> dict[str, float]:
    """Accuracy, its 95 % interval's half width, AUC (two labels) or MAE of the expected value
    (numbers, such as stars), log loss and calibration error."""
    codes = np.array([model.labels.index(label) for label in labels])
    right = (probabilities.argmax(1) == codes).mean()
    row = {"accuracy": right, "+-": 1.96 * np.sqrt(right * (1 - right) / len(codes))}
    if len(model.labels) == 2:
        row["auc"] = area_under_curve(probabilities[:, 1], codes == 1)
    elif not isinstance(model.labels[0], str):  # stars
        expected = probabilities @ np.array(model.labels, float)
        row["MAE"] = float(np.abs(expected - np.asarray(labels, float)).mean())
    row["log loss"] = log_loss(np.log(np.maximum(probabilities, 1e-12)), codes)
    return row | {"calibration error": expected_calibration_error(probabilities, codes)}


class Table:
    """Rows printed as they come."""

    def __init__(self, out: str):
        self.rows, self.out = [], out

    def add(self, **row) -> None:
        if not self.rows:
            print("| " + " | ".join(row) + " |\n" + "|---" * len(row) + "|")
        self.rows.append(row)
        shown = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()]
        print("| " + " | ".join(shown) + " |", flush=True)
        if self.out:
            write_atomic(Path(self.out), write_csv(pd.DataFrame(self.rows), index=False))


def fitted(spec: str, texts: list[str], labels: list, seed: int) -> tuple[TextClassifier, float]:
    """The model of `name` or `name:{json parameters}`, trained, and the CPU seconds that this took."""
    name, _, params = spec.partition(":")
    started = time.process_time()
    model = create(name, **{"seed": seed, **json.loads(params or "{}")}).fit(texts, labels)
    return model, time.process_time() - started


def per_class(labels: list, count: int, seed: int) -> np.ndarray:
    """Rows of `count` random examples of each label (all, where there are fewer)."""
    labels, generator = np.array(labels), np.random.default_rng(seed)
    groups = [generator.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)]
    return np.concatenate(groups)


def by_member(name: str, model: TextClassifier, texts: list[str], labels: list) -> dict[str, dict[str, float]]:
    """`measures` and CPU ms per text of a model, and `measures` of a stack's members, in one pass."""
    started = time.process_time()
    if isinstance(model, Stack):
        parts = model._parts(clean(texts))
        rows = {name: measures(model, softmax(model._joined(parts, clean(texts)) / model.temperature), labels)}
        for (member, _), part in zip(model.params.members, parts, strict=True):
            rows[f"{member} of the {name}"] = measures(model, softmax(part), labels)
    else:
        rows = {name: measures(model, model.predict_proba(texts), labels)}
    rows[name]["CPU ms per text"] = 1e3 * (time.process_time() - started) / len(texts)
    return rows


def robustness(table: Table, train, test, target: str, args) -> None:
    """Accuracy on the test texts as they are, with typos, and in other words; and how many of them that changed."""
    texts, labels = test["text"].tolist(), test[target].tolist()
    noisy = {"as they are": texts, "paraphrase": paraphrased(texts)}
    noisy |= {f"typos {rate:.0%}": with_typos(texts, rate, args.seeds[0]) for rate in (0.02, 0.05, 0.1)}
    for spec in args.models:
        model, _ = fitted(
            spec, train["text"].tolist()[: args.rows or None], train[target].tolist()[: args.rows or None], 0
        )
        for name, changed in noisy.items():
            share = float(np.mean([new != old for new, old in zip(changed, texts, strict=True)]))
            table.add(model=spec, texts=name, changed=share, **measures(model, model.predict_proba(changed), labels))


def out_of_scope(table: Table, train, test, target: str, args) -> None:
    """A fifth of the intents is left out of the training: AUROC of the confidence that separates their questions.

    With the share of questions in scope that are answered, and how many of those rightly, at the threshold at which
    nine answers in ten are right on a validation half of the test questions; measured on the other half.
    """
    train, test = (part[~part[target].isin(OUTSIDE)] for part in (train, test))
    for spec in args.models:
        for seed in args.seeds:
            names = np.random.default_rng(seed).permutation(sorted(train[target].unique()))
            outside = set(names[: len(names) // 5])
            inside = train[~train[target].isin(outside)]
            model, _ = fitted(spec, inside["text"].tolist(), inside[target].tolist(), seed)
            probabilities = model.predict_proba(test["text"])
            known = ~test[target].isin(outside).to_numpy()
            confidence = probabilities.max(1) * model.familiarity(test["text"])
            right = np.array([model.labels[code] for code in probabilities.argmax(1)]) == test[target].to_numpy()
            half = np.random.default_rng(seed).random(len(test)) < 0.5
            threshold = threshold_for(confidence[half], right[half], 0.9)
            answered = ~half & (confidence >= threshold)
            table.add(
                model=spec,
                seed=seed,
                auroc=area_under_curve(confidence, known),
                accuracy_in_scope=float(right[known].mean()),
                threshold=threshold,
                answered_in_scope=float(answered[known & ~half].mean()),
                answered_out_of_scope=float(answered[~known & ~half].mean()),
                right_of_answered=float(right[answered].mean()),
            )


def languages(table: Table, paths: list[str], args) -> None:
    """Each model trained on the reviews of each file, measured on the test reviews of every file."""
    tables = {Path(path).stem: split(read(path)) for path in paths}
    for spec in args.models:
        for source, (train, _) in tables.items():
            train = train[: args.rows or None]
            model, _ = fitted(spec, train["text"].tolist(), train["positive"].tolist(), args.seeds[0])
            for target, (_, test) in tables.items():
                test = test[: args.test_rows or None]
                spoken = test["text"].map(language).value_counts(normalize=True)
                row = measures(model, model.predict_proba(test["text"]), test["positive"].tolist())
                shares = " ".join(f"{name} {share:.3f}" for name, share in spoken.items())
                table.add(model=spec, trained_on=source, tested_on=target, script=shares, **row)


def speed(table: Table, train, test, target: str, args) -> None:
    """Seconds that a thousand of the shortest test texts take, none of them seen before: the best of three calls."""
    from .embedding import forget

    texts = sorted(test["text"], key=len)[:1000]
    for spec in args.models:
        model, _ = fitted(
            spec, train["text"].tolist()[: args.rows or 500], train[target].tolist()[: args.rows or 500], 0
        )
        wall, cpu = [], []
        for _ in range(3):
            forget()
            began, began_cpu = time.perf_counter(), time.process_time()
            model.predict_proba(texts)
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - began_cpu)
        length = float(np.mean([len(text) for text in texts]))
        table.add(model=spec, texts=len(texts), characters=length, wall_s=min(wall), cpu_s=min(cpu))


def service(table: Table, messages: list, part: str, minilm: bool, show: bool) -> None:
    """How many messages are handled rightly, passed on to a person that need not be, and answered wrongly.

    `messages` are pairs of a text and what is right: intents, titles of the help corpus, `other` for a person.
    """
    from .service import Dialogue, Service

    known = lambda slots: not slots.get("order", "").startswith(_UNKNOWN)
    desk = Service.of(lambda intent, slots: dict.fromkeys(_FACTS, "2") if known(slots) else None, minilm=minilm)
    titles = {text: title for title, text in desk.topics.items()}
    replies, _ = desk.reply([Dialogue()] * len(messages), [text for text, _ in messages])
    rows = []
    for (text, right), reply in zip(messages, replies, strict=True):
        done = reply.intent or titles.get(reply.text, "other" if reply.action == "person" else reply.action)
        done = "other" if reply.action == "person" and reply.intent != PERSON else done
        kind = "rightly" if done in right else "to a person" if reply.action == "person" else "wrongly"
        rows.append(("zh" if language(text) == "zh" else "en", "out" if right == ["other"] else "in", kind))
        if show and kind != "rightly":
            print(f"{kind}: {text!r}, {' or '.join(right)}: {done} {reply.confidence:.2f} {reply.text[:50]}")
    counted = pd.DataFrame(rows, columns=["language", "scope", "kind"])
    for names, group in [*counted.groupby(["language", "scope"]), (("all", "all"), counted)]:
        kinds = {kind: int((group["kind"] == kind).sum()) for kind in ("rightly", "to a person", "wrongly")}
        table.add(messages=part, minilm=str(minilm), language=names[0], scope=names[1], texts=len(group), **kinds)


def passages(table: Table, minilm: bool, precision: float = 0.95) -> None:
    """The confidence from which the first passage is right, by the questions of our help corpus and all that is other.

    With the share of the questions whose right passage is first, and of those that are answered.
    """
    from .service import default_retrieval

    answers = read_answers()
    texts, labels = answers.examples()
    retrieval = default_retrieval(answers, minilm)
    matches = retrieval.match(texts)
    titles = [entry["title"] for entry in answers.help]
    right = np.array([titles[match.place] == label for match, label in zip(matches, labels, strict=True)])
    inside = np.array([label in titles for label in labels])
    confidence = np.array([match.confidence for match in matches])
    spoken = np.array([language(text) for text in texts])
    for name in ("en", "zh"):
        rows = spoken == name
        cut = threshold_for(confidence[rows], right[rows], precision)
        answered = rows & (confidence >= cut)
        table.add(
            language=name,
            minilm=str(minilm),
            questions=int((rows & inside).sum()),
            others=int((rows & ~inside).sum()),
            first=float(right[rows & inside].mean()),
            cut=cut,
            answered=float((answered & inside).sum() / (rows & inside).sum()),
            others_answered=float((answered & ~inside).sum() / (rows & ~inside).sum()),
        )


_FACTS = ("status", "date", "days", "amount", "minutes", "standard_days", "express_days")  # that any lookup gives here
_UNKNOWN = "99"  # how the numbers of orders begin that there are no records of
COMMANDS = {"robustness": robustness, "out_of_scope": out_of_scope, "speed": speed}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="storelab.language.evaluate", description=__doc__)
    parser.add_argument("what", choices=[*COMMANDS, "languages", "service", "passages"])
    parser.add_argument("data", nargs="*", help="Parquet or CSV file of reviews or questions")
    parser.add_argument("--models", nargs="+", default=["tfidf"], help='name, or name:{"parameter": value}')
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--target", default="", help="positive, stars or intent")
    parser.add_argument("--rows", type=int, default=0, help="training rows, the first of the split; 0: all")
    parser.add_argument("--test-rows", type=int, default=0, help="test rows, the first of the split; 0: all")
    parser.add_argument("--part", default="test", choices=["test", "blind", "held"], help="of service's own messages")
    parser.add_argument("--no-minilm", action="store_true", help="service and passages as without the extra")
    parser.add_argument("--show", action="store_true", help="the messages that are not handled rightly")
    parser.add_argument("--out", default="", help="CSV file")
    args = parser.parse_args(argv)
    table = Table(args.out)
    if args.what == "service":
        file = Path(args.data[0]) if args.data else Path(__file__).with_name("messages.json")
        messages = read_json(file)
        if args.part == "held":
            messages["held"] = [[text, [label]] for text, label in read_answers().held]
        service(table, messages[args.part], args.part, not args.no_minilm, args.show)
        return
    if args.what == "passages":
        passages(table, not args.no_minilm)
        return
    if not args.data:
        parser.error(f"{args.what}: DATA is missing")
    if args.what == "languages":
        languages(table, args.data, args)
        return
    train, test = split(read(args.data[0]))
    target = args.target or ("intent" if "intent" in train else "positive")
    COMMANDS[args.what](table, train, test[: args.test_rows or None], target, args)


if __name__ == "__main__":
    main()
