import math

import pytest
import torch
from storelab.forecasting.distribution import (
    LEVELS,
    Dependence,
    at_levels,
    calibrate,
    correlated_uniforms,
    draw_noise,
    mean,
)


def exponential(days: int = 5, windows: int = 1, rate: float = 1.0) -> torch.Tensor:
    quantiles = torch.tensor([-math.log(1 - level) / rate for level in LEVELS])
    return quantiles.expand(windows, days, -1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_quantile_function_meets_its_knots_and_rises():
    quantiles, scale = exponential(), torch.ones(1, 5)
    level = torch.tensor(LEVELS).expand(1, 5, -1)
    torch.testing.assert_close(at_levels(quantiles, scale, 0.7, level), quantiles)
    fine = torch.linspace(0.001, 0.9999, 500).expand(1, 5, -1)
    assert (at_levels(quantiles, scale, 0.7, fine).diff(dim=-1) >= -1e-5).all()


def test_tail_is_exponential():
    quantiles, scale = exponential(), torch.zeros(1, 5)
    spread = float(quantiles[0, 0, -1] - quantiles[0, 0, LEVELS.index(0.9)])
    got = at_levels(quantiles, scale, 1 / spread, torch.full((1, 5, 1), 0.999))
    torch.testing.assert_close(got, torch.full((1, 5, 1), -math.log(0.001)), rtol=1e-4, atol=1e-4)


def test_mean_is_the_mean_of_the_draws():
    quantiles, scale = exponential(), torch.ones(1, 5)
    level = torch.rand((1, 5, 400_000), generator=generator())
    drawn = at_levels(quantiles, scale, 1.3, level).mean(dim=-1)
    torch.testing.assert_close(mean(quantiles, scale, 1.3), drawn, rtol=0.01, atol=0.01)


def test_closed_day_is_nothing_at_any_level():
    quantiles, scale = torch.zeros(1, 2, len(LEVELS)), torch.zeros(1, 2)
    assert at_levels(quantiles, scale, 2.0, torch.full((1, 2, 1), 0.9999)).max() == 0
    assert mean(quantiles, scale, 2.0).max() == 0


@pytest.mark.parametrize(("share", "memory"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.2, 0.5)])
def test_uniforms_have_the_stated_correlation(share, memory):
    uniform = correlated_uniforms(draw_noise(1, 6, 200_000, generator()), share, memory)[0]
    assert uniform.mean() == pytest.approx(0.5, abs=0.005)
    normal = torch.special.ndtri(uniform.double())
    for lag in (1, 5):
        correlation = float(torch.corrcoef(normal[[0, lag]])[0, 1])
        assert correlation == pytest.approx(share + (1 - share) * memory**lag, abs=0.01)


@pytest.mark.parametrize(("share", "memory"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.8)])
def test_calibration_finds_dependence_and_tail(share, memory):
    windows, days = 600, 28
    uniform = correlated_uniforms(draw_noise(windows, days, 1, generator(1)), share, memory)[..., 0]
    units = -torch.log1p(-uniform)
    quantiles, scale = exponential(days, windows), torch.ones(windows, days)
    units[0, :5] = torch.nan
    fitted = calibrate(quantiles, scale, units, seed=0)
    spread = float(quantiles[0, 0, -1] - quantiles[0, 0, LEVELS.index(0.9)]) + 0.1
    assert fitted.tail * spread == pytest.approx(1.0, rel=0.15)  # an exponential's mean excess

    def variance_of_sum(c: float, phi: float) -> float:
        lags = torch.arange(days)
        correlation = c + (1 - c) * phi ** (lags[:, None] - lags).abs().double()
        return float(correlation.sum())

    assert variance_of_sum(fitted.share, fitted.memory) == pytest.approx(variance_of_sum(share, memory), rel=0.35)


def test_calibration_without_an_excess_keeps_the_defaults():
    assert calibrate(exponential(), torch.ones(1, 5), torch.zeros(1, 5), seed=0) == Dependence()
