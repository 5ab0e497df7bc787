"What several test files need: small simulated cohorts, each made once in a test run."
import functools
import os
from unittest.mock import patch

import pytest

from small import FEW_REPEATS, as_traced, collect_rarely, of_one_member, with_few_dots


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also what is marked slow (make test-all)")

def pytest_collection_modifyitems(config, items):
    "Tests that are marked slow wait for `make test-all`; each has a quicker neighbour in `make test`."
    if config.getoption("--slow"): return
    for item in items:
        if item.get_closest_marker("slow"): item.add_marker(pytest.mark.skip(reason="slow: make test-all"))

@pytest.fixture(scope="session", autouse=True)
def plain_graphs(request):
    "TensorFlow runs graphs as they were traced, and JAX hardly optimises its own, except in `make test-all`."
    collect_rarely()
    if request.config.getoption("--slow"): yield
    else:
        as_traced()
        with patch.dict(os.environ, JAX_DISABLE_MOST_OPTIMIZATIONS="true"): yield  # of the processes that tests start

@pytest.fixture(scope="session")
def simulated():
    "`simulated(n_samples=…, n_genes=…, …)`: a cohort of `simulate_cohort`; a copy, so that a test may change it."
    from cancer_dl.data.simulate import simulate_cohort
    made = functools.cache(lambda *options: simulate_cohort(**dict(options)))
    return lambda **options: made(*sorted(options.items())).copy()


@pytest.fixture(scope="module")
def some_tissues(simulated):
    "150 samples, a fifth of them without a tissue."
    found = simulated(n_samples=150, n_genes=40, n_classes=4, seed=2)
    found.obs["tissue"] = found.obs["tissue"].astype(object)
    found.obs.iloc[::5, found.obs.columns.get_loc("tissue")] = None
    return found

@pytest.fixture(scope="session", autouse=True)
def one_member():
    """Dense networks hold one member in tests, and are compiled in a quarter of the time.

    `test_default.py` has the default as it is shipped (`as_shipped`)."""
    from cancer_dl.train import estimator
    whole = estimator.suited_settings
    with patch.object(estimator, "suited_settings", of_one_member(whole)): yield whole

@pytest.fixture(scope="module")
def as_shipped(one_member):
    "The default with all its members, for the tests of a module."
    from cancer_dl.train import estimator
    with patch.object(estimator, "suited_settings", one_member): yield

@pytest.fixture(scope="session", autouse=True)
def few_repeats(request):
    "The folds of small cohorts are drawn twice, not up to five times, except in `make test-all`."
    from cancer_dl.train import assess
    drawn = assess.REPEATS if request.config.getoption("--slow") else FEW_REPEATS
    with patch.object(assess, "REPEATS", drawn): yield

@pytest.fixture(scope="session", autouse=True)
def few_dots(request):
    "Figures are coarse in tests, except in `make test-all` and where a module asks for them `as_drawn`."
    from cancer_dl import plot
    whole = plot.figure_png
    shown = whole if request.config.getoption("--slow") else with_few_dots(whole)
    with patch.object(plot, "figure_png", shown): yield whole

@pytest.fixture(scope="module")
def as_drawn(few_dots):
    "Figures at their full size, for the tests of a module."
    from cancer_dl import plot
    with patch.object(plot, "figure_png", few_dots): yield
