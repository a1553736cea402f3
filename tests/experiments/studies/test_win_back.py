"""What churn is worth to marketing: shares by class, what is chosen, whom letters reach, and the table."""

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.experiments.studies import win_back as study

KNOWN = {"lapsed": 0.15, "risk_lapsed": [0.7, 0.2, 0.1], "risk_customers": [0.1, 0.2, 0.7]}


def test_shares_count_the_classes_with_the_riskiest_first():
    score = np.array([0.9, 0.8, 0.1, 0.1, 0.5])
    left = np.array([True, True, False, False, True])
    made = study.shares(score, np.array([0.3, 0.7]), left)
    assert made["risk_lapsed"] == pytest.approx([2 / 3, 1 / 3, 0])
    assert made["risk_customers"] == [0, 0, 1]
    assert made["lapsed"] == pytest.approx(0.15 * 3 / 2)


def test_reach_is_the_classes_share_of_the_file():
    assert study.reach(KNOWN, 1) == pytest.approx(0.4)
    assert study.reach(KNOWN, 3) == pytest.approx(1)


def test_signals_tell_what_the_store_sees_apart_from_what_is_true():
    """Shares are of two days; by churn they differ between lapsed people and customers, evenly they do not."""
    found = study.signals(100, 300)
    for known, true in found.values():
        for store in (known, true):
            assert sum(store["risk_lapsed"]) == pytest.approx(1)
            TASKS["Marketplace"](**store, win_back=0.5)  # the parameters are allowed
    for way in (study.RULE, study.TREES):
        known, true = found[way]
        assert known["lapsed"] != true["lapsed"]
        half = len(true["risk_lapsed"]) // 2
        assert sum(true["risk_lapsed"][:half]) > sum(true["risk_customers"][:half]) + 0.2
    assert len(set(found[study.EVENLY][1]["risk_lapsed"])) == 1


def test_what_is_chosen_depends_on_the_signal(monkeypatch):
    """By a profit with one top, the search finds it; and letters that cost more than they bring are not written."""

    def earned(played, seasons):
        return np.array([-abs(played.get("letters", 0) - 0.4) - abs(played["marketing"] - 80) / 100])

    monkeypatch.setattr(study, "earned", earned)
    assert study.chosen(KNOWN)["classes"] == 1
    assert study.chosen(KNOWN)["marketing"] == 80
    monkeypatch.setattr(study, "earned", lambda played, seasons: np.array([-played.get("win_back", 0.0)]))
    assert study.chosen(KNOWN)["win_back"] == 0
    assert "lapsed" not in study.changes(KNOWN, study.chosen(KNOWN))


def test_letters_by_a_known_state_earn_more_than_evenly():
    setting = {"classes": 1, "win_back": 0.75, "marketing": 100.0}
    perfect = KNOWN | {"risk_lapsed": [1.0, 0.0], "risk_customers": [0.0, 1.0]}
    alike = KNOWN | {"risk_lapsed": [0.5, 0.5], "risk_customers": [0.5, 0.5]}
    seasons = np.arange(8)
    best, even = (study.earned(study.changes(one, setting), seasons).mean() for one in (perfect, alike))
    assert best > even


def test_the_table_has_paired_intervals_over_populations():
    rows = [
        {
            "profit": {way: 100.0 * population + gain for gain, way in enumerate(study.WAYS)},
            "written": dict.fromkeys(study.WAYS, 0.25),
        }
        for population in range(3)
    ]
    text = study.table(rows)
    assert f"| {study.TREES} | 104 | +4 [+4, +4] | +3 [+3, +3] | 25% |" in text
