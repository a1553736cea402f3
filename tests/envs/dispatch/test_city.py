"""Instance files: the format, and errors that name the line; generated cities."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.envs.dispatch.city import read_city, synthetic_city
from storelab.errors import FieldError

GOOD = """NAME : tiny
COMMENT : three customers
TYPE : VRPTW
DIMENSION : 4
EDGE_WEIGHT_TYPE : EXPLICIT
VEHICLES : 2
EDGE_WEIGHT_FORMAT : FULL_MATRIX
CAPACITY : 10
EDGE_WEIGHT_SECTION
0\t10\t20\t30
11\t0\t12\t13
21\t12\t0\t14
31\t13\t14\t0
NODE_COORD_SECTION
1\t0\t0
2\t5\t0
3\t0\t5
4\t5\t5
DEMAND_SECTION
1\t0
2\t3
3\t4
4\t5
DEPOT_SECTION
1
-1
SERVICE_TIME_SECTION
1\t0
2\t60
3\t60
4\t60
TIME_WINDOW_SECTION
1\t0\t1000
2\t100\t500
3\t100\t500
4\t100\t500
EOF
"""


def read(tmp_path, text):
    path = tmp_path / "tiny.txt"
    path.write_text(text)
    return read_city(path)


def test_the_format(tmp_path):
    city = read(tmp_path, GOOD)
    assert (city.name, city.capacity) == ("tiny", 10)
    assert city.durations[1].tolist() == [11, 0, 12, 13]
    assert city.demand.tolist() == [0, 3, 4, 5]
    assert city.windows[3].tolist() == [100, 500]
    assert city.depot.tolist() == [0, 0, 0, 0]


def test_several_depots(tmp_path):
    city = read(tmp_path, GOOD.replace("1\n-1\n", "1\n2\n-1\n"))
    assert city.depot.tolist() == [0, 1, 1, 1]  # 12 + 12 and 13 + 13 s out and back from the second, 41 and 61 s else
    assert (city.out.tolist(), city.back.tolist()) == ([0, 0, 12, 13], [0, 0, 12, 13])
    many = synthetic_city(0, 80, 12, 40, depots=3)
    around = many.durations[:3, 3:] + many.durations[3:, :3].T
    assert (many.depot[3:] == around.argmin(axis=0)).all()
    assert set(many.depot) == {0, 1, 2}
    assert not many.demand[:3].any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("11\t0\t12\t13", "11\t0\t12", r"tiny.txt, line 11: '11\\t0\\t12' is not allowed, expected 4 whole numbers"),
        ("11\t0\t12\t13", "11\t0\tx\t13", "line 11"),
        ("11\t0\t12\t13", "11\t0\t-2\t13", "line 11.*>= 0 in EDGE_WEIGHT_SECTION"),
        ("3\t4\n4\t5\nDEPOT", "4\t5\nDEPOT", "line 22: .*expected node 3 of 4 in DEMAND_SECTION"),
        ("3\t0\t5", "3\t0\t5.5", "line 17"),
        ("DIMENSION : 4", "DIMENSION : four", "line 4: .*expected DIMENSION : a whole number"),
        ("DIMENSION : 4\n", "", "EDGE_WEIGHT_SECTION' is not allowed, expected DIMENSION before it"),
        ("CAPACITY : 10\n", "", "CAPACITY: None is not allowed, expected CAPACITY : a whole number"),
        ("VEHICLES : 2", "VEHICLES 2", "line 6: 'VEHICLES 2' is not allowed, expected KEY : value"),
        ("1\n-1\n", "2\n-1\n", "line 25: '2' is not allowed, expected the depots 1, 2"),
        ("1\n-1\n", "1\n3\n-1\n", "line 26: '3' is not allowed, expected the depots 1, 2"),
        ("1\n-1\n", "1\n2\n3\n4\n-1\n", "tiny: depots: 4 is not allowed, expected 1 to 3, for 4 rows"),
        ("3\t100\t500\n4\t100\t500\nEOF\n", "", "line 35: 'end of file'"),
        ("2\t3\n", "2\t11\n", "tiny: demand of customer 1: 11 is not allowed, expected at most the capacity of 10"),
        ("3\t100\t500", "3\t500\t100", r"tiny: time window of customer 2: \[500, 100\]"),
        ("2\t100\t500", "2\t0\t5", r"tiny: time window of customer 1: \[0, 5\].*expected a window that a vehicle"),
    ],
)
def test_a_malformed_file_is_told_by_its_line(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        read(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize("seed", range(3))
def test_generated_cities_are_places_to_deliver_in(seed):
    city = synthetic_city(seed, 80, 12, 40)  # its own checks: every customer can be served
    again = synthetic_city(seed, 80, 12, 40)
    assert all((getattr(city, name) == getattr(again, name)).all() for name in ("durations", "windows", "coords"))
    assert (city.durations != city.durations.T).any()
    through = (city.durations[:, :, None] + city.durations[None]).min(axis=1)
    assert (city.durations <= through).all()
    assert (synthetic_city(seed + 1, 80, 12, 40).coords != city.coords).any()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DIMENSION : 4", "DIMENSION : 1000000000"),
        ("DIMENSION : 4", "DIMENSION : 9999"),
        ("DIMENSION : 4", f"DIMENSION : {'9' * 5000}"),
        ("CAPACITY : 10", f"CAPACITY : {2**63}"),
        ("2\t60", f"2\t{2**63 - 1}"),
        ("2\t60", f"2\t{2**63}"),
        ("2\t60", f"2\t{'9' * 6000}"),
        ("2\t60", f"2\t{10**12}"),
    ],
)
def test_numbers_out_of_all_measure_are_refused_in_one_line(tmp_path, old, new):
    assert old in GOOD, GOOD
    (tmp_path / "tiny.txt").write_text(GOOD.replace(old, new))
    with pytest.raises(FieldError) as error:
        read_city(tmp_path / "tiny.txt")
    assert len(str(error.value).splitlines()) == 1


@given(
    st.sampled_from(["service", "windows", "durations", "demand", "coords"]), st.sampled_from([2**63 - 1, 2**62, 1e30])
)
def test_no_sum_of_times_wraps_around(name, value):
    city = synthetic_city(0, 5, 8, 10)
    array = getattr(city, name).astype(np.int64 if isinstance(value, int) else float)
    array[-1] = value
    with pytest.raises(FieldError, match=f"{name}.*is not allowed"):
        dataclasses.replace(city, **{name: array})
