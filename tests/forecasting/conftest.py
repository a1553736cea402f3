import numpy as np
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import DECILES, FORECASTERS, create

# Tiny tensors: a second thread costs more than it gives, and far more where other work runs beside the tests.
torch.set_num_threads(1)

TINY = dict(pretrained="", d_model=32, layers=1, heads=2, d_ff=64, context=84, batch_size=64, steps=150, progress=False)
TINY["learning_rate"] = 3e-3

QUICK = {"transformer": {**TINY, "steps": 3}, "lightgbm": {"rounds": 5, "progress": False}}
QUICK["lightgbm_mean"] = {"rounds": 5, "horizon": 28, "rows": 20_000, "progress": False}
_TREES = {name: {"rounds": 5, "progress": False} for name in ("lightgbm", "lightgbm_mean")}
QUICK["ensemble"] = {"params": {"transformer": TINY | {"steps": 3}} | _TREES, "windows": 1}
QUICK["conformal"] = {"base": "lightgbm", "params": QUICK["lightgbm"], "windows": 2}
QUICK_HUB = {"context": 84, "fine_tune_steps": 3, "fine_tune_learning_rate": 1e-3, "progress": False}
HUB = ("chronos_bolt", "chronos_2", "timesfm_2", "timesfm_2_5")  # families of the forecaster "hub"
TRAINED = [*QUICK, *HUB]
ALL = [*(name for name in FORECASTERS if name != "hub"), *HUB]


@pytest.fixture(scope="session")
def panel():
    """30 items, 400 days, a covariate known in advance and one of the past."""
    panel = generate(SyntheticStoreParams(items=30, days=400)).panel
    rng = np.random.default_rng(0)
    panel.covariates = {"display": (rng.random(panel.units.shape) < 0.1) * 1.0}
    panel.past_covariates = {"visits": np.nan_to_num(panel.units) + rng.poisson(3.0, panel.units.shape)}
    return panel


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Family -> folder of a tiny checkpoint, random weights, up to 32 days ahead in one pass."""
    import transformers
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    patches = {"context_length": 84, "input_patch_size": 8, "input_patch_stride": 8, "use_reg_token": True}
    t5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "initializer_factor": 0.2}
    bolt = {**patches, "prediction_length": 32, "quantiles": list(DECILES)}
    fine = [0.01, *[round(0.05 * k, 2) for k in range(1, 20)], 0.99]
    chronos_2 = {**patches, "output_patch_size": 8, "max_output_patches": 4, "quantiles": fine, "use_arcsinh": True}
    timesfm = {"patch_length": 8, "context_length": 88, "horizon_length": 32, "head_dim": 8, "num_attention_heads": 2}
    timesfm |= {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    t5_config = transformers.T5Config(**t5, num_decoder_layers=1, decoder_start_token_id=0, chronos_config=bolt)
    config_2_5 = transformers.TimesFm2_5Config(**timesfm, num_key_value_heads=2, output_quantile_len=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = {
            "chronos_bolt": ChronosBoltModelForForecasting(t5_config),
            "chronos_2": Chronos2Model(Chronos2CoreConfig(**t5, chronos_config=chronos_2)),
            "timesfm_2": transformers.TimesFmModelForPrediction(transformers.TimesFmConfig(**timesfm)),
            "timesfm_2_5": transformers.TimesFm2_5ModelForPrediction(config_2_5),
        }
        root = tmp_path_factory.mktemp("hub")
        for name, model in models.items():
            model.save_pretrained(root / name)
    return {name: root / name for name in models}


@pytest.fixture(scope="session")
def quick(checkpoints):
    """Name of ALL -> name of FORECASTERS and parameters that train in no time."""
    hub = {name: ("hub", {"checkpoint": str(checkpoints[name]), **QUICK_HUB}) for name in HUB}
    return {name: (name, QUICK.get(name, {})) for name in FORECASTERS} | hub


@pytest.fixture(scope="session")
def tiny(panel):
    """A tiny transformer, trained on the first 340 days."""
    return create("transformer", **TINY).fit(panel.until(340))


@pytest.fixture(scope="session")
def ready(panel, tiny, quick):
    """Name -> a forecaster that can forecast, trained on the first 340 days where it has to be."""
    made = {name: create(quick[name][0], **quick[name][1]) for name in ALL if name != "transformer"}
    for name in ("lightgbm", "lightgbm_mean", "ensemble", "conformal"):
        made[name].fit(panel.until(340))
    return made | {"transformer": tiny}
