"""The contract and the split: labels that are not known yet are in no part."""

import numpy as np
import pytest
from storelab.risk import read_transactions, split_by_time
from storelab.risk.features import FEATURES, features
from storelab.risk.synthetic import DAY
from storelab.risk.transactions import columns


def test_read_hides_who_it_was(data, tmp_path):
    shown = data.transactions.head(50).iloc[::-1]
    shown.to_csv(tmp_path / "sold.csv", index=False)
    table = read_transactions(tmp_path / "sold.csv", key=b"0123456789abcdef")
    assert table["timestamp"].is_monotonic_increasing
    assert not set(table["customer"]) & set(shown["customer"])
    assert not set(table["card"]) & set(shown["card"])
    assert table["card"].nunique() == shown["card"].nunique()
    with pytest.raises(ValueError, match="column 'amount', row 1"):
        read_transactions(shown.assign(amount=-1.0))
    with pytest.raises(ValueError, match="column 'customer': missing"):
        read_transactions(shown.drop(columns="customer"))


def test_core_columns_are_enough(data):
    rows = data.transactions.head(60)
    core = read_transactions(rows[["timestamp", "customer", "amount"]], key=b"0123456789abcdef")
    assert (core["device"] == core["customer"]).all()
    assert features(core).shape == (60, len(FEATURES))
    gaps = rows.assign(device=rows["device"].where(rows.index % 2 == 0, None)).rename(columns={"card": "pan"})
    some = read_transactions(gaps, key=b"0123456789abcdef", columns={"card": "pan"})
    assert some["card"].nunique() == rows["card"].nunique()
    assert (some["device"] == some["customer"]).sum() == 30


def test_labels_are_known_when_the_model_goes_into_service():
    time = np.arange(0, 100 * DAY, 3600)
    split = split_by_time(time, cut=0.7, warm_up=20, validation=10)
    service = time[split.test.start]
    assert (time[split.validation] + 7 * DAY <= service).all()
    assert time[split.train].min() == 20 * DAY
    assert split.train.stop == split.validation.start
    assert len(time[split.validation]) == 240
    assert split.test.stop == len(time)


@pytest.mark.parametrize("time", [np.array([]), np.array([0, 5, 3]), np.arange(0, 5 * DAY, DAY)])
def test_data_that_cannot_be_split(time):
    with pytest.raises(ValueError, match="expected"):
        split_by_time(time)


def test_frames_and_dicts_agree(data):
    rows = data.transactions.head(20)
    for name, value in columns(rows).items():
        np.testing.assert_array_equal(value, columns(rows.to_dict("list"))[name])


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "America/Lima"])
def test_times_with_a_zone_are_refused(data, zone):
    rows = data.transactions.head(5)
    zoned = rows["timestamp"].dt.tz_localize(zone)
    for times in (zoned, zoned.astype(str), zoned.astype(object), zoned.convert_dtypes(dtype_backend="pyarrow")):
        for of in (columns, read_transactions):
            with pytest.raises(ValueError, match=r"column 'timestamp', row 1: .*without"):
                of(rows.assign(timestamp=times))
