"The contract of the zoo, for the networks that the chapter leaves out because they take long to compile."
import pytest

from cancer_dl.models.zoo import REGISTRY, check_model

SLOW = ("lstm", "gru", "bilstm", "lstm_attention", "cnn_attention", "cnn_rnn", "transformer", "cnn2d_lyu",
        "cnn2d_3layer", "cnn2d_hybrid", "wide_deep", "hong2022", "genome_cnn")

def test_these_are_in_the_zoo(): assert set(SLOW) < set(REGISTRY)

@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_contract_is_kept(name): check_model(name)

@pytest.mark.slow
def test_the_published_hybrid_is_blind_where_it_was(): check_model("cnn2d_hybrid", blind=25, pool="published")
