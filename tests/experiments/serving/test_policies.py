"""Policies of runs: their actions, what is refused, counts, and swaps while requests come in."""

import json
import threading

import numpy as np
import pytest
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.experiment import restore
from storelab.experiments.runs.folder import Run

ROWS = np.random.default_rng(0).integers(0, 9, (64, 4)).tolist()
JSON = {"Content-Type": "application/json"}


def ask(client, rows, route="restock"):
    answer = client.post(f"/{route}", json={"observations": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(("name", "route"), [("ppo", "restock"), ("rules", "restock"), ("price", "price")])
def test_actions_are_the_policys(name, route, serve, runs, slot):
    """And row i of a batch equals a batch of one."""
    client, experiment = serve(slot(runs / name)), restore(Run(runs / name))
    about = client.get("/models").json()[route]
    size = sum(int(np.prod(shape)) for shape in about["observation"].values())
    rows = [row[:size] for row in ROWS]
    answer = ask(client, rows, route)
    assert (answer["model"], answer["policy"]) == (name, about["policy"])
    if name == "ppo":
        assert answer["policy"] == experiment.agent == "PPO"
    expected, _ = experiment.policies[answer["policy"]](np.array(rows, np.float32), None, 0)
    model = experiment.task.model("test")
    expected = np.clip(np.floor(np.asarray(expected, float) + 0.5), model.action_low, model.action_high)
    assert answer["actions"] == expected.tolist()
    assert answer["actions"] == [ask(client, [row], route)["actions"][0] for row in rows]


def test_without_a_learner_the_best_heuristic_answers(serve, runs, slot):
    episodes = Run(runs / "rules").episodes()
    costs = episodes.groupby("policy")["value"].mean()
    costs = costs.drop(["reference policy", "generalist"], errors="ignore")  # no heuristics
    assert ask(serve(slot(runs / "rules")), ROWS)["policy"] == costs.idxmin()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"observations": [[3, 1, 0, 2], [3, -1, 0, 2]]}', 422, "observations[1][1], which is pipeline[0, 0]: -1.0 "),
        (
            '{"observations": [[3, 1, 0]]}',
            422,
            "observations[0]: [3, 1, 0] is not allowed: List should have at least 4",
        ),
        ('{"observations": [[3, 1, 0, "x"]]}', 422, "observations[0][3]: 'x' is not allowed: "),
        ('{"observations": [[3, 1, 0, true]]}', 422, "observations[0][3]: True is not allowed: "),
        ('{"observations": [[3, 1, 0, "2"]]}', 422, "observations[0][3]: '2' is not allowed: "),
        ('{"observations": [[3, 1, 0, NaN]]}', 422, "observations[0][3]: nan is not allowed: Input should be a finite"),
        (
            '{"observations": [[3, 1, 0, 1e999]]}',
            422,
            "observations[0][3]: inf is not allowed: Input should be a finite",
        ),
        ('{"observations": [[3, 1, 0, 1e300]]}', 422, "observations[0][3], which is pipeline[2, 0]: 1e+300 is not"),
        ('{"observations": []}', 422, "observations: [] is not allowed: List should have at least 1 item"),
        ('{"observations": [[3, 1, 0, 2]], "seed": 1}', 422, "seed: 1 is not allowed: Extra inputs are not permitted"),
        ('{"observations": [[3, 1, 0, 2]], "\\ud800": 1}', 400, "body: no JSON ("),
        ('{"observations": [[3, 1, 0, "\\ud800"]]}', 400, "body: no JSON ("),
        ("{}", 422, "observations: missing: Field required"),
        ("[1]", 422, "body: [1] is not allowed: "),
        ("", 400, "body: no JSON ("),
        ('{"observations": [[3, 1, 0,', 400, "body: no JSON ("),
        ("[" * 100_000, 400, "body"),
        (json.dumps({"observations": [[0] * 4] * 1025}), 422, "List should have at most 1024 items"),
    ],
)
def test_bad_bodies_are_refused_in_one_line(body, status, words, restock):
    answer = restock.post("/restock", content=body, headers=JSON)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert len(answer.text) < 400


def test_what_is_counted(restock):
    ask(restock, ROWS)
    restock.post("/restock", json={})
    assert [restock.get(path).status_code for path in ("/nowhere/1", "/restock/")] == [404, 404]
    lines = restock.get("/metrics").text.splitlines()
    assert 'storelab_rows_total{route="restock"} 64.0' in lines
    for status in ("200", "422"):
        assert f'storelab_requests_total{{route="/restock",status="{status}"}} 1.0' in lines
    assert 'storelab_requests_total{route="other",status="404"} 2.0' in lines
    assert 'storelab_request_seconds_count{route="/restock"} 2.0' in lines


def test_the_schema_tells_all(restock):
    schema = restock.get("/openapi.json", headers={"Authorization": ""}).json()
    assert set(schema["paths"]) == {"/restock", "/health", "/models", "/metrics", "/swap"}
    post = schema["paths"]["/restock"]["post"]
    assert set(post["responses"]) == {"200", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"}
    assert post["security"] == [{"HTTPBearer": []}]
    rows = schema["components"]["schemas"]["RestockBody"]["properties"]["observations"]
    assert (rows["maxItems"], rows["items"]["minItems"], rows["items"]["maxItems"]) == (1024, 4, 4)
    columns = rows["items"]["prefixItems"]
    assert [column["title"] for column in columns] == [
        "on_hand[0]",
        "pipeline[0, 0]",
        "pipeline[1, 0]",
        "pipeline[2, 0]",
    ]
    assert {(column["type"], column["minimum"]) for column in columns} == {("number", 0)}
    ask(restock, [[column[end] for column in columns] for end in ("minimum", "maximum")])  # these are let in
    above = [np.nextafter(column["maximum"], np.inf) for column in columns]
    assert restock.post("/restock", json={"observations": [above]}).status_code == 422


def test_one_swap_at_a_time_and_each_route_its_method(serve, runs, slot):
    one = slot(runs / "ppo")
    client, body = serve(one), {"route": "restock", "name": "ppo"}
    one.loading = True
    assert client.post("/swap", json=body).status_code == 409
    one.loading = False
    assert client.post("/swap", json=body).status_code == 200
    wrong = [client.get("/restock"), client.delete("/swap"), client.post("/models")]
    assert [(answer.status_code, answer.headers["Allow"]) for answer in wrong] == [
        (405, "POST"),
        (405, "POST"),
        (405, "GET"),
    ]


def test_a_swap_drops_no_request(serve, slot, runs):
    """Four threads ask while runs change places: every answer is one of the two runs', whole."""
    restock, expected = serve(slot(runs / "ppo")), {}
    for name in ("rules", "ppo"):
        assert restock.post("/swap", json={"route": "restock", "name": name}).json() == {"model": name}
        expected[name] = ask(restock, ROWS)
    assert expected["ppo"]["actions"] != expected["rules"]["actions"]
    stop, answers = threading.Event(), []

    def asks():
        while not stop.is_set():
            answers.append(restock.post("/restock", json={"observations": ROWS}))

    threads = [threading.Thread(target=asks) for _ in range(4)]
    with restock:
        for thread in threads:
            thread.start()
        for name in ("rules", "ppo", "rules"):
            assert restock.post("/swap", json={"route": "restock", "name": name}).status_code == 200
        stop.set()
        for thread in threads:
            thread.join()
        assert ask(restock, ROWS) == expected["rules"]
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert answer.json() == expected[answer.json()["model"]]
    assert {answer.json()["model"] for answer in answers} == {"rules", "ppo"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unfinished", "expected the folder of a finished run"),
        ("price", "name: 'price' is not allowed as it is for price, expected one for restock"),
        ("other", "name: 'other' is not allowed, expected a run with {'task': 'LostSales', 'observation': "),
        ("../ppo", "name: '../ppo' is not allowed: String should match pattern"),
        ("..", "name: '..' is not allowed: String should match pattern"),
    ],
)
def test_what_does_not_fit_is_not_put_in(name, words, restock):
    """A schema cannot tell which folders there are: 404."""
    nowhere = restock.post("/swap", json={"route": "restock", "name": "nowhere"})
    told = "name: 'nowhere' is not allowed, expected a folder beside the present one"
    assert (nowhere.status_code, nowhere.json()["detail"]) == (404, told)
    answer = restock.post("/swap", json={"route": "restock", "name": name})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert ask(restock, ROWS)["model"] == "ppo"


def test_one_model_a_route(serve, runs, slot):
    slots = [slot(runs / "rules") for _ in range(2)]
    with pytest.raises(ValueError, match="'restock, restock' is not allowed"):
        serve(*slots)
    with pytest.raises(ConfigError, match="finished run"):
        slot(runs / "unfinished")
