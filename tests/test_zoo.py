"The contract of the zoo, for the networks that the chapter leaves out because they take long to compile."
import pytest

from cancer_dl.models.zoo import REGISTRY, check_model

SLOW = ("lstm", "gru", "bilstm", "lstm_attention", "cnn_attention", "cnn_rnn", "transformer", "cnn2d_lyu")

def test_these_are_in_the_zoo(): assert set(SLOW) < set(REGISTRY)

@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_contract_is_kept(name): check_model(name)
