"What several test files need: small simulated cohorts, each made once in a test run."
import functools

import pytest


@pytest.fixture(scope="session")
def simulated():
    "`simulated(n_samples=…, n_genes=…, …)`: a cohort of `simulate_cohort`; a copy, so that a test may change it."
    from cancer_dl.data.simulate import simulate_cohort
    made = functools.cache(lambda *options: simulate_cohort(**dict(options)))
    return lambda **options: made(*sorted(options.items())).copy()
