"""Every sampler of `envs` and `data` against scipy, over its whole allowed range: mean, variance and both tails."""

import ast
from pathlib import Path

import numpy as np
import pytest
import storelab
from scipy import stats
from storelab.data.synthetic import SyntheticStoreParams, _levels, _log_uniform, generate
from storelab.envs import DemandParams, NormalDemand, PathDemand, PricingParams, RateDemand, TableDemand
from storelab.envs.core import pmf as pmfs
from storelab.envs.core.random import as_keys
from storelab.envs.dispatch.days import Days
from storelab.envs.dispatch.params import DispatchParams
from storelab.envs.duopoly.model import Duopoly
from storelab.envs.duopoly.params import DuopolyParams
from storelab.envs.inventory.model import Inventory
from storelab.envs.inventory.params import InventoryParams
from storelab.envs.inventory.shelf import whole
from storelab.envs.marketplace.model import Marketplace
from storelab.envs.marketplace.params import MarketplaceParams
from storelab.envs.pricing.demand import CountTable, choose, inverse_transform
from storelab.envs.pricing.model import Pricing
from storelab.envs.supply_chain.model import SupplyChain
from storelab.envs.supply_chain.params import SupplyChainParams
from storelab.errors import FieldError

ROOT = Path(storelab.__file__).parent
UNIFORM = np.concatenate(
    [np.random.default_rng(0).random(500), [0.0, 1e-9, 1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6, 1 - 1e-9, 1 - 2**-53]]
)
# Where chance is drawn, by file: what is drawn there, and the test of it. A call that is not here has no test.
SAMPLERS = {
    "envs/core/demand.py": {
        "random_raw": "table",
        "standard_normal": "normal_demand",
        "integers": "paths",
        "standard_gamma": "rate_demand",
        "poisson": "rate_demand",
    },
    "envs/core/randomised.py": dict.fromkeys(("integers", "random", "uniform", "standard_gamma"), "test_randomised"),
    "envs/inventory/supply.py": {"random": "lead_times, disruptions", "beta": "yield"},
    "envs/inventory/model.py": {"random": "rounding"},
    "envs/supply_chain/model.py": {"random": "lead_times"},
    "envs/pricing/model.py": {"standard_exponential": "choice", "standard_normal": "linear", "random": "inverse"},
    "envs/pricing_inventory/model.py": {"random": "inverse"},
    "envs/inventory_game/games.py": dict.fromkeys(("normal", "uniform", "integers", "random", "choice"), "test_games"),
    "envs/inventory_game/model.py": {"integers": "test_games"},
    "envs/duopoly/model.py": {"random": "exploration"},
    "envs/marketplace/scenario.py": {
        **dict.fromkeys(("random", "poisson", "gumbel"), "visitors"),
        "standard_normal": "test_markets",
    },
    "envs/marketplace/routes.py": dict.fromkeys(("permuted", "choice", "random", "integers"), "test_routes"),
    "envs/marketplace/params.py": {"standard_normal": "catalogue"},
    "envs/dispatch/arrivals.py": {"integers": "requests"},
    "envs/dispatch/days.py": {"integers": "requests"},
    "envs/dispatch/city.py": dict.fromkeys(("uniform", "integers", "exponential", "random", "geometric"), "test_city"),
    "envs/dispatch/ruin_recreate.py": dict.fromkeys(
        ("random", "uniform"), "the router's search: its routes are checked"
    ),
    "data/abroad.py": {"choice": "test_abroad"},
    "data/synthetic.py": {
        **dict.fromkeys(("negative_binomial", "uniform", "normal"), "store"),
        **dict.fromkeys(("random", "beta", "gamma", "integers", "permutation"), "test_synthetic"),
    },
    "data/taste.py": dict.fromkeys(("normal", "random", "gumbel"), "test_taste"),
    "data/pictures.py": dict.fromkeys(("normal", "uniform"), "test_images"),
}
NO_DYNAMICS = (
    "heuristics.py",
    "hostile.py",
    "conformance.py",
    "fuzz.py",
    "tasks.py",
)  # policies, checks, and fixed networks
METHODS = {name for name in dir(np.random.Generator) if not name.startswith("_")} | {"random_raw"}


def test_the_list_of_samplers_is_complete():
    for folder in ("envs", "data"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            drawn = {
                node.func.attr
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
                if "rng" in ast.unparse(node.func.value) or ast.unparse(node.func.value) in ("random", "streams[3]")
            }
            if path.name not in NO_DYNAMICS:
                assert drawn == set(SAMPLERS.get(str(path.relative_to(ROOT)), {})), path


def agree(draws: np.ndarray, mean: float, variance: float, kurtosis: float = 3.0) -> None:
    """Check the mean and the variance of independent draws to within 5 standard errors."""
    n, draws = draws.size, np.asarray(draws, float)
    assert abs(draws.mean() - mean) <= 5 * np.sqrt(variance / n) + 1e-6 * abs(mean)
    assert abs(draws.var() - variance) <= 5 * variance * np.sqrt((kurtosis + 2) / n) + 1e-6 * (variance + mean**2)


def tails_agree(draws: np.ndarray, law) -> None:
    """Check how many independent draws lie beyond quantiles of a scipy distribution, on both sides."""
    n = draws.size
    for share in (1e-3, 1e-2, 0.1):
        for expected, found in (
            (law.sf(edge := law.isf(share)), (draws > edge).sum()),
            (law.cdf(edge := law.ppf(share)), (draws <= edge).sum()),
        ):
            assert abs(found - n * expected) <= 5 * np.sqrt(n * expected * (1 - min(expected, 0.999))) + 1


KINDS = {
    "poisson": (pmfs.poisson, lambda mean: stats.poisson(mean), [(m,) for m in (1e-9, 1e-3, 0.7, 30, 745.5, 1e4)]),
    "geometric": (
        pmfs.geometric,
        lambda mean: stats.geom(1 / (1 + mean), loc=-1),
        [(m,) for m in (1e-6, 0.5, 40, 1e4)],
    ),
    "negative_binomial": (
        pmfs.negative_binomial,
        lambda mean, r: stats.nbinom(r, r / (r + mean)),
        [(m, r) for m in (1e-3, 4.0, 200.0, 1e4) for r in (1e-3, 0.3, 5.0, 1e3, 1e6) if m / r < 2e5],
    ),
}


@pytest.mark.parametrize(
    ("kind", "numbers"), [(kind, numbers) for kind, (*_, grid) in KINDS.items() for numbers in grid]
)
def test_table_of_counts(kind, numbers):
    build, law, _ = KINDS[kind]
    p, law = build(*numbers), law(*numbers)
    units = np.arange(len(p))
    assert np.abs(p - law.pmf(units)).max() < 1e-9
    assert law.sf(len(p) - 1) < 2e-12
    assert (p * units).sum() == pytest.approx(law.mean(), rel=1e-6, abs=1e-8)
    assert (p * units**2.0).sum() - (p @ units) ** 2 == pytest.approx(law.var(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("mean", [1e-3, 0.5, 10.5, 300.0, 9999.5, 1e4])
@pytest.mark.parametrize("std", [1e-300, 1e-6, 1e-3, 0.3, 20.0, 1e4])
def test_tables_of_rounded_distributions(mean, std):
    edges = lambda p: np.arange(len(p)) + 0.5
    with np.errstate(over="ignore"):
        normal = pmfs.normal(mean, std)
        law = stats.truncnorm((-0.5 - mean) / std, np.inf, mean, std) if std > 1e-6 * mean else stats.norm(mean, std)
        assert np.abs(np.cumsum(normal) - law.cdf(edges(normal))).max() < 1e-9
    shape = (mean / std) ** 2 if std > 1e-100 else np.inf
    if 12 * std + 40 * std**2 / mean > pmfs.MAX_SUPPORT:
        with pytest.raises(FieldError, match=r"mean: .*with std"):
            pmfs.gamma(mean, std)
        return
    gamma = pmfs.gamma(mean, std)
    assert gamma.sum() == pytest.approx(1, abs=1e-12)
    # scipy's own error grows with the shape: 1e-6 at 1e8 in the tails, where ours is below 1e-13.
    law = stats.gamma(shape, scale=std**2 / mean) if shape < 1e9 else stats.norm(mean, std)
    assert np.abs(np.cumsum(gamma) - law.cdf(edges(gamma))).max() < (1e-9 if shape < 1e6 else 1e-4)


def test_gamma_with_a_tiny_deviation_against_its_density():
    for mean, std in ((1e4, 1.0), (1e4, 0.2), (200.0, 0.15)):
        shape, scale, units = (mean / std) ** 2, std**2 / mean, np.arange(mean - 6, mean + 7)
        x = (units[:, None] + np.linspace(-0.5, 0.5, 4001)) / scale
        spread = np.log(x / shape) * (shape - 1) - (x - shape)  # the log of the density, from its middle
        density = np.exp(spread - 1 / (12 * shape)) / np.sqrt(2 * np.pi * shape) / scale
        exact = np.trapezoid(density, dx=1 / 4000, axis=1)
        found = pmfs.gamma(mean, std)
        near = np.pad(found, (0, 20))[units.astype(int)]
        assert np.abs(near - exact).max() < 2e-7


@pytest.mark.parametrize(
    "pmf", [pmfs.poisson(1e4), pmfs.negative_binomial(50, 1e-2), np.array([1 - 2e-9, 2e-9]), np.ones(1)]
)
def test_table_demand_inverts_a_distribution(pmf):
    bits = np.concatenate([np.random.default_rng(1).integers(0, 2**32, 4000), [0, 1, 2**32 - 2, 2**32 - 1]])
    out = np.empty((len(bits), 1), np.float32)
    TableDemand([pmf])._look_up(bits.astype(np.uint32)[:, None], out)
    exact = np.searchsorted(np.round(np.cumsum(pmf) * 2.0**32), bits, side="right")
    assert (out[:, 0] == np.minimum(exact, len(pmf) - 1)).all()


@pytest.mark.parametrize(("mean", "std"), [(1e-3, 1.0), (5.0, 2.0), (3.0, 9.0), (1e4, 1e4), (1e4, 1.0)])
def test_normal_demand(mean, std):
    draws = NormalDemand([mean], [std]).draw(as_keys(np.arange(50)), 2000)["demand"]
    z = mean / std
    expected = mean * stats.norm.cdf(z) + std * stats.norm.pdf(z)  # of what is cut at 0
    square = (mean**2 + std**2) * stats.norm.cdf(z) + mean * std * stats.norm.pdf(z)
    agree(draws, expected, max(square - expected**2, std**2 * 1e-3), 6)
    tails_agree(draws.ravel()[draws.ravel() > 0], stats.truncnorm(-z, np.inf, mean, std))


@pytest.mark.parametrize("rate", [1e-3, 0.4, 20.0, 5e3, 1e5])
@pytest.mark.parametrize("dispersion", [0.05, 2.0, 1e6, np.inf])
def test_rate_demand(rate, dispersion):
    table = np.full((30, 1), rate)
    if pmfs.largest(rate, dispersion) >= pmfs.MAX_SUPPORT:
        with pytest.raises(FieldError, match=r"rate: .*expected demand below 10,000,000 units"):
            RateDemand(table, dispersion)
        return
    draws = RateDemand(table, dispersion).draw(as_keys(np.arange(2000)), 20)["demand"].astype(float)
    law = stats.poisson(rate) if np.isinf(dispersion) else stats.nbinom(dispersion, dispersion / (dispersion + rate))
    agree(draws, law.mean(), law.var(), 3 + float(law.stats(moments="k")))
    tails_agree(draws, law)


def test_paths_and_first_days_are_equally_likely():
    paths = np.arange(4)[:, None, None] * 100.0 + np.arange(6)[None, :, None]
    drawn = PathDemand(paths).draw(as_keys(np.arange(4000)), 2)["demand"][:, 0, 0]
    assert stats.chisquare(np.unique(drawn, return_counts=True)[1]).pvalue > 1e-4
    assert len(np.unique(drawn)) == 4 * 5


@pytest.mark.parametrize("noise", ["poisson", "negative_binomial", "bernoulli"])
@pytest.mark.parametrize("mean", [1e-9, 0.3, 7.0, 120.0, 500.0])
@pytest.mark.parametrize("dispersion", [1e-3, 0.1, 2.0, 1e6])
def test_inverse_transform_is_the_quantile(noise, mean, dispersion):
    if noise != "negative_binomial" and dispersion != 2.0:
        return
    laws = {
        "poisson": stats.poisson(mean),
        "negative_binomial": stats.nbinom(dispersion, dispersion / (dispersion + mean)),
        "bernoulli": stats.bernoulli(min(mean, 1.0)),
    }
    drawn = inverse_transform(np.full(UNIFORM.shape, mean), UNIFORM, noise, dispersion)
    exact = np.maximum(laws[noise].ppf(UNIFORM), 0)
    inner = (UNIFORM > 0) & (UNIFORM < 1 - 1e-8)
    if noise != "bernoulli":
        assert (drawn[inner] == exact[inner]).mean() > 0.995
    else:  # the other way round: what is large buys
        assert drawn.mean() == pytest.approx(min(mean, 1.0), abs=0.06)
    assert np.isfinite(drawn).all()
    price = np.array([[mean]])
    if CountTable.fits(price, noise, dispersion):
        table = CountTable(price, noise, dispersion)(np.zeros((len(UNIFORM), 1), int), UNIFORM[:, None])
        assert (table[inner, 0] == drawn[inner]).mean() > 0.995


@pytest.mark.parametrize("utility", [[-100.0, 0.0, 1.0], [0.0, 0.0, 0.0], [3.0, 100.0, -2.0]])
def test_choice_is_the_multinomial_logit(utility):
    weight, n = np.exp(np.array([utility], np.float64)), 20_000
    taste = np.random.default_rng(0).standard_exponential((1, n, 4))
    first, sales, unmet = choose(np.minimum(weight, 3e38).astype(np.float32), None, np.array([n]), taste)
    share = weight[0] / (1 + weight.sum())
    assert (np.abs(first[0] - n * share) <= 5 * np.sqrt(n * share * (1 - share)) + 1e-6).all()
    assert (sales == first).all()
    assert not unmet.any()


def test_linear_demand_has_normal_noise():
    params = PricingParams(items=2, demand={"kind": "linear", "size": 1e5, "std": 1e5, "sensitivity": 1.0})
    draws = Pricing(params).scenarios(np.arange(1500))["noise"]
    agree(draws, 0, 1)
    tails_agree(draws.ravel(), stats.norm())


@pytest.mark.parametrize("pmf", [[1.0], [0.2, 0.0, 0.8], [1e-3, 0.999], [0.01] * 100])
def test_lead_times(pmf):
    arcs = {"supplier-shop": {"source": "supplier", "target": "shop", "lead_time_pmf": pmf}}
    for model in (
        Inventory(InventoryParams(horizon=99, lead_time_pmf=pmf)),
        SupplyChain(SupplyChainParams(horizon=99, arcs=arcs)),
    ):
        lead = model.scenarios(np.arange(300))["lead"].ravel()
        found = np.bincount(lead.astype(int), minlength=len(pmf) + 1)[1:]
        assert (np.abs(found - len(lead) * np.array(pmf)) <= 5 * np.sqrt(len(lead) * np.array(pmf))).all()


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.4999), (0.9, 0.05), (1e-3, 1e-3), (0.999, 1e-9), (0.3, 0.0)])
def test_yield_is_a_beta_distribution(mean, std):
    draws = Inventory(InventoryParams(horizon=99, yield_mean=mean, yield_std=std)).scenarios(np.arange(400))["yield"]
    a = mean * (1 - mean) / std**2 - 1 if std else 0
    assert ((draws >= 0) & (draws <= 1)).all()
    if std < 1e-6:
        assert np.abs(draws - mean).max() < 1e-6
        return
    law = stats.beta(mean * a, (1 - mean) * a)
    agree(draws, mean, std**2, 3 + max(0, float(law.stats(moments="k"))))
    if std < 0.4:
        tails_agree(draws.ravel(), law)


@pytest.mark.parametrize(("fails", "recovers"), [(0.1, 0.3), (1.0, 1.0), (0.01, 1.0), (0.5, 1e-3)])
def test_disruptions_are_a_markov_chain(fails, recovers):
    params = InventoryParams(horizon=300, disruption_probability=fails, recovery_probability=recovers)
    up = Inventory(params).scenarios(np.arange(300))["supplier"][..., 0] == 1
    assert up[:, 0].all()
    for here, leaves in ((up[:, :-1], fails), (~up[:, :-1], recovers)):
        left = (here & (up[:, 1:] != up[:, :-1])).sum()
        assert abs(left - here.sum() * leaves) <= 5 * np.sqrt(here.sum() * leaves * (1 - leaves)) + 1e-9


@pytest.mark.parametrize("units", [0.0, 0.3, 7.5, 1000.25])
def test_rounding_keeps_the_mean(units):
    uniform = np.random.default_rng(0).random(100_000, dtype=np.float32)
    drawn = whole(np, np.full_like(uniform, units), uniform, np.full_like(uniform, np.ceil(units)))
    assert abs(drawn.mean(dtype=float) - units) < 5 * np.sqrt(0.25 / 1e5)
    assert set(np.unique(drawn)) <= {np.floor(units), np.ceil(units)}


def test_exploration_of_a_learning_rival():
    model = Duopoly(DuopolyParams(horizon=400, rival="q_learner", grid=4, exploration_decay=0.01))
    explores, price = np.moveaxis(model.scenarios(np.arange(200))["uniform"][:, :400], -1, 0)
    chance = np.exp(-0.01 * np.arange(400))
    assert abs((explores < chance).sum() - 200 * chance.sum()) < 5 * np.sqrt(200 * (chance * (1 - chance)).sum())
    assert stats.chisquare(np.bincount((price * 4).astype(int).ravel())).pvalue > 1e-4


def test_visitors_of_the_reference_fidelity():
    params = MarketplaceParams(items=4, page_size=2, horizon=20, fidelity="reference", population=300.0)
    drawn = Marketplace(params).scenarios(np.arange(150))
    z = (drawn["candidates"] - drawn["largest_rate"]) / np.sqrt(drawn["largest_rate"])
    agree(z, 0, 1)
    noise = drawn["noise"].ravel()[:200_000]
    agree(noise, np.euler_gamma, np.pi**2 / 6, 5.4)
    tails_agree(noise, stats.gumbel_r())
    for name in ("who", "lets", "thin"):
        tails_agree(drawn[name].ravel()[:100_000], stats.uniform())
    factor = Marketplace(MarketplaceParams(horizon=300)).scenarios(np.arange(20))["factor"]
    assert factor.mean() == pytest.approx(1.0, abs=0.02)


def test_costs_of_a_catalogue():
    costs = np.concatenate(
        [Marketplace(MarketplaceParams(items=1000, catalogue_seed=s)).catalogue.cost for s in range(8)]
    )
    tails_agree(np.log(costs / 10), stats.norm(-0.08, 0.4))
    assert costs.mean() == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("requests", [1.0, 8.0, 300.0])
def test_requests_of_an_epoch(requests):
    days = Days(DispatchParams(requests=requests, customers=40, cities=2, profile=[1.0, 1.0, 0.0]), None)
    came = (days.draw(np.arange(600))["customer"][:, :2] > 0).sum(axis=2)
    law = stats.poisson(requests / 2)
    assert law.sf(days.largest) <= 1e-5
    agree(came[:, 0], law.mean(), law.var(), 3 + 2 / requests)  # later ones can be too late for some customers
    tails_agree(came[:, 0], law)


@pytest.mark.slow
@pytest.mark.parametrize(("top_rate", "dispersion"), [(1e-6, 1.0), (5.0, 0.01), (40.0, 1e6), (2e4, 3.0)])
def test_units_of_a_synthetic_store(top_rate, dispersion):
    store = generate(
        SyntheticStoreParams(
            items=2, days=400, customers=2, top_rate=top_rate, dispersion=(dispersion, dispersion), zipf_exponent=0.0,
            lumpy_dispersion=(dispersion, dispersion), new_share=0.0, rating_share=0.0,
        )
    )  # fmt: skip
    rate = store.rate
    variance = rate + rate**2 / store.dispersion
    error = (store.panel.units - rate).sum() / np.sqrt(variance.sum())
    assert abs(error) < 5
    open_days = rate > 0
    found = np.clip((store.panel.units - rate)[open_days] ** 2 / variance[open_days], 0, 1e4).mean()
    if rate.mean() * dispersion > 1:  # where it is not ruled by a few days
        assert 0.7 < found < 1.4


def test_levels_and_bounds_of_a_synthetic_store():
    params = SyntheticStoreParams(days=20_000, level_sd=0.5, level_days=2.0)
    level = np.log(_levels(params, 8, np.random.default_rng(0))) + 0.125
    agree(level[::20], 0, 0.25)
    tails_agree(level[::20].ravel(), stats.norm(0, 0.5))
    drawn = _log_uniform(np.random.default_rng(0), (0.01, 1e6), 100_000)
    tails_agree(np.log(drawn), stats.uniform(np.log(0.01), np.log(1e8)))


def test_parameters_beyond_a_sampler_are_refused_by_name():
    for build, words in (
        (lambda: DemandParams(mean=1e4, dispersion=1e-3, kind="negative_binomial").pmfs(1), "mean: 10000.*10,000,000"),
        (lambda: DemandParams(mean=1e-3, std=1e4, kind="gamma").pmfs(1), "mean: 0.001"),
        (lambda: RateDemand([[1e30]], np.inf), "rate: 1.0000"),
        (lambda: InventoryParams(items=100_000, horizon=100_000), "horizon: 100000 .*50,000,000 numbers"),
    ):
        with pytest.raises(FieldError, match=words):
            build()
