"The brain-cancer hybrid: files of CuMiDa are read as they are, and the preset has the size that it states."
import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl

from cancer_dl.core import InputError, data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.formats import looks_like
from cancer_dl.models.blocks import BlockSpec, trained_parameters
from cancer_dl.models.recurrent import PRESETS, preset
from cancer_dl.models.zoo import build_model
from cancer_dl.train.estimator import CancerClassifier

KINDS = ["ependymoma"]*14 + ["glioblastoma"]*12 + ["medulloblastoma"]*10 + ["pilocytic_astrocytoma"]*8 + ["normal"]*6

@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A file as CuMiDa publishes it: samples by number, type, then Affymetrix probes."
    rng, names = np.random.default_rng(0), [f"{117 + 7*i}{'_s' * (i % 3 == 0)}_at" for i in range(58)]
    names += ["AFFX-r2-P1-cre-5_at", "AFFX-TrpnX-M_at"]
    X = rng.normal(7, 1, (len(KINDS), 60))
    for k, kind in enumerate(sorted(set(KINDS))): X[np.array(KINDS) == kind, 5*k:5*k + 5] += 3
    table = pd.DataFrame(X.round(6), columns=names)
    table.insert(0, "type", KINDS)
    table.insert(0, "samples", range(834, 834 + len(KINDS)))
    path = tmp_path_factory.mktemp("cumida")/"Brain_GSE50161.csv"
    table.to_csv(path, index=False)
    return path

def test_probes_say_which_side_the_samples_are_on(study):
    cohort = read_cohort(study)
    assert cohort.shape == (50, 60) and cohort.obs["type"].tolist() == KINDS and cohort.obs_names[0] == "834"
    turned = pd.read_csv(study).drop(columns="type").set_index("samples").T
    turned.columns = [f"s{i}" for i in turned.columns]
    turned.to_csv(study.parent/"turned.csv")
    assert read_cohort(study.parent/"turned.csv").shape == (50, 60)
    assert looks_like(["ILMN_1343291", "ILMN_1651209"]) == looks_like(["1007_s_at", "AFFX-BioB-5_at"]) == "genes"
    assert looks_like(["patient_at_home", "1007"]) is None

def test_the_commands_read_it(study, tmp_path):
    code, out, err = cancer_dl("data", "info", study)
    assert code == 0 and "Affymetrix probe ids" in out and "5 classes: ependymoma 14" in out and "6 normals" in out, err
    code, out, err = cancer_dl("train", study, "--label", "type", "--model", "linear", "--epochs", 2, "--no-compare",
                               "--out", tmp_path/"b")
    assert code == 0, err
    code, out, err = cancer_dl("train", study, "--label", "tpye", "--out", tmp_path/"c")
    assert code == 2 and "type" in err

def test_the_preset_has_the_weights_that_it_states():
    published = PRESETS["brain_hybrid"]
    for spec in (BlockSpec("sequence", (50, 10)), BlockSpec("matrix", (300,))):
        model = build_model(published.model, {"x": spec}, 5, **published.sizes)
        assert trained_parameters(model) == published.n_parameters == 25_829
    with pytest.raises(InputError, match="Did you mean brain_hybrid"): preset("brain_hybird")

@pytest.mark.slow
def test_the_preset_learns():
    rng, y = np.random.default_rng(0), np.arange(90) % 3
    X = rng.normal(0, 1, (90, 60)).astype("float32")
    for k in range(3): X[y == k, 20*k:20*k + 10] += 1.5
    fitted = CancerClassifier(**preset("brain_hybrid") | dict(epochs=12, random_state=0)).fit(X[:60], y[:60])
    assert fitted.score(X[60:], y[60:]) > 0.8

@pytest.mark.skipif(data_dir("micro_pomeroy_brain") is None, reason="the real cohort is not here")
def test_a_real_microarray_is_read():
    cohort = read_cohort(data_dir("micro_pomeroy_brain"))
    assert cohort.shape == (40, 6_898) and cohort.obs["label"].nunique() == 5
