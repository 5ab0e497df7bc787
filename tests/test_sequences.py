"Explanations of sequences: gradients are true, sums are complete, padding has no score, and the planted gene is first."
import numpy as np
import pytest

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.inputs import Tokens
from cancer_dl.interpret.saliency import output_network
from cancer_dl.interpret.sequences import (attention_of, baseline_scores, deletion, explain_steps, patch_scores,
                                           planted_tokens, step_probe, step_sanity, without_step)
from cancer_dl.models.blocks import BlockSpec
from cancer_dl.models.members import ensemble
from cancer_dl.models.mutation_lstm import progression_lstm
from cancer_dl.models.zoo import build_model
from cancer_dl.train.fit import CheckedOptions, fit_existing

TOKENS = np.array([[1, 5, 3, 8, 0, 0], [1, 2, 7, 4, 6, 3], [1, 0, 0, 0, 0, 0]], np.int32)
WHICH = np.array([2, 0, 1], np.int32)
SPEC = {"tokens": BlockSpec("tokens", (6,), 9)}

def numpy(x): return keras_module().ops.convert_to_numpy(x)

def random_network(name="progression_lstm"):
    keras_module().utils.set_random_seed(0)
    if name == "progression_lstm": return progression_lstm(SPEC, 3, embedding=4, units=5)
    return build_model(name, SPEC, 3, embed=4, dense=0, **(dict(units=5) if name == "gru" else dict(filters=4)))

@pytest.fixture(scope="module")
def lstm(): return random_network()  # its mask is Keras' own, of the embedding

def test_gradients_by_finite_differences(lstm):
    "Of the shift and of the gate, in double steps."
    probe = step_probe(lstm)
    gate, still = np.ones((3, 6), np.float32), np.zeros((3, 6, 4), np.float32)
    by_shift, by_gate = (numpy(f) for f in (probe.by_shift(still, gate, TOKENS, WHICH),
                                            probe.by_gate(gate, still, TOKENS, WHICH)))
    def score(gate, shift): return numpy(probe.score(gate, shift, TOKENS, WHICH)).astype(float)
    for t in range(6):
        up, down = gate.copy(), gate.copy()
        up[:, t], down[:, t] = 1.01, 0.99
        np.testing.assert_allclose((score(up, still) - score(down, still)) / 0.02, by_gate[:, t], atol=5e-5)
        for k in (0, 3):
            moved = still.copy()
            moved[:, t, k] = 0.01
            np.testing.assert_allclose((score(gate, moved) - score(gate, -moved)) / 0.02, by_shift[:, t, k], atol=5e-5)
    assert np.abs(by_shift[1]).min() > 1e-5  # steps that are there have one

@pytest.mark.parametrize("name", ["progression_lstm", pytest.param("cnn_rnn", marks=pytest.mark.slow),
                                  pytest.param("gru", marks=pytest.mark.slow)])
@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_the_sum_of_scores_is_the_difference_of_logits(name, baseline, lstm):
    model = lstm if name == "progression_lstm" else random_network(name)
    scores = explain_steps(model, TOKENS, WHICH, baseline=baseline, steps=100)
    logits = numpy(output_network(model)(TOKENS))[np.arange(3), WHICH]
    np.testing.assert_allclose(scores.sum(axis=1), logits - baseline_scores(model, TOKENS, WHICH, baseline), atol=1e-3)

@pytest.mark.parametrize("method", ["integrated", "gradient_x_input", "saliency"])
def test_padding_and_start_have_no_score(method, lstm):
    scores = explain_steps(lstm, TOKENS, WHICH, method)
    assert (scores[TOKENS < 2] == 0).all() and (scores[TOKENS > 1] != 0).all()
    probe = step_probe(lstm)  # and by the mask itself, where nothing is set to zero
    gradient = numpy(probe.by_shift(np.zeros((3, 6, 4), np.float32), np.ones((3, 6), np.float32), TOKENS, WHICH))
    assert (gradient[TOKENS == 0] == 0).all()

@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru", "bilstm", "lstm_attention", "cnn_rnn", "cnn_attention", "transformer"])
def test_the_mask_of_every_network_keeps_padding_out_of_its_scores(name):
    "By the mask itself, where nothing is set to zero; a step that is there has a gradient, next to padding too."
    keras_module().utils.set_random_seed(0)
    sizes = dict(filters=4) if name.startswith("cnn") else dict(units=4)
    probe = step_probe(build_model(name, SPEC, 3, embed=4, dense=0, **sizes))
    gradient = numpy(probe.by_shift(np.zeros((3, 6, 4), np.float32), np.ones((3, 6), np.float32), TOKENS, WHICH))
    assert (gradient[TOKENS == 0] == 0).all()
    assert (np.abs(gradient).max(axis=2)[TOKENS > 1] > 1e-7).all()

def test_a_batch_is_its_samples_one_by_one(lstm):
    whole = explain_steps(lstm, TOKENS, WHICH)
    np.testing.assert_allclose(explain_steps(lstm, TOKENS, WHICH, batch_size=2), whole, atol=1e-6)
    np.testing.assert_allclose(explain_steps(lstm, TOKENS[1:2], WHICH[1:2]), whole[1:2], atol=1e-6)

def test_the_network_stays_what_it_was_and_new_weights_are_seen(lstm):
    before, logits = lstm.get_weights(), numpy(lstm(TOKENS))
    scores = explain_steps(lstm, TOKENS, WHICH)
    np.testing.assert_array_equal(numpy(lstm(TOKENS)), logits)
    lstm.set_weights([2 * w for w in before])
    changed = explain_steps(lstm, TOKENS, WHICH)
    lstm.set_weights(before)
    assert np.abs(changed - scores).max() > 0.01
    np.testing.assert_allclose(explain_steps(lstm, TOKENS, WHICH), scores, atol=1e-6)

def test_deletion_is_the_prediction_without(lstm):
    found = deletion(lstm, TOKENS, WHICH)
    for row, at in ((0, 1), (0, 3), (1, 5), (1, 2)):
        rest = [t for i, t in enumerate(TOKENS[row]) if i != at]
        alone = numpy(lstm(np.array([rest + [0]], np.int32)))
        expected = numpy(lstm(TOKENS[row:row + 1]))[0, WHICH[row]] - alone[0, WHICH[row]]
        assert found[row, at] == pytest.approx(expected, abs=1e-6)
    assert (found[TOKENS < 2] == 0).all()
    assert (deletion(lstm, TOKENS[2:]) == 0).all()  # a sample without mutations
    np.testing.assert_array_equal(without_step(TOKENS[:1], np.array([0])), [[5, 3, 8, 0, 0, 0]])

def test_members_are_explained_as_one():
    both = ensemble(lambda: build_model("gru", SPEC, 3, embed=4, units=5, dense=0), 2)
    full = numpy(output_network(both)(TOKENS))[np.arange(3), WHICH]
    scores = explain_steps(both, TOKENS, WHICH, steps=100)
    np.testing.assert_allclose(scores.sum(axis=1), full - baseline_scores(both, TOKENS, WHICH), atol=1e-3)

def test_the_planted_gene_is_first_and_shuffled_weights_forget_it():
    X, y = planted_tokens(300)
    keras_module().utils.set_random_seed(0)
    model = progression_lstm({"tokens": BlockSpec("tokens", (9,), 14)}, 2, embedding=8, units=8, dropout=0)
    fit_existing(model, X, y, CheckedOptions(epochs=15, batch_size=16, learning_rate=0.02), seed=0)
    new, truth = planted_tokens(80, seed=1)
    has = new[truth == 1]
    assert (numpy(model(has)).argmax(axis=1) == 1).mean() > 0.9
    for scores in (explain_steps(model, has, 1), deletion(model, has, 1)):
        assert (has[np.arange(len(has)), scores.argmax(axis=1)] == 6).mean() > 0.9
    sane = step_sanity(model, lambda network: explain_steps(network, has, 1), draws=3)
    assert [name for name, _ in sane.cascade] == ["logits", "lstm", "embedding"]
    assert sane.passed and sane.scrambled < 0.5, sane
    same = step_sanity(model, lambda network: np.arange(27, dtype=float).reshape(3, 9))  # no say of the weights
    assert not same.passed and same.scrambled == pytest.approx(1)

def test_attention_sums_to_one_on_real_steps():
    model = build_model("lstm_attention", SPEC, 3, embed=4, units=5, dense=0)
    weights = attention_of(model, Tokens(TOKENS, 9))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights[0, 4:] == 0).all() and weights[2].tolist() == [1, 0, 0, 0, 0, 0]

def test_what_cannot_be_explained_is_said(lstm):
    for bad, said in ((TOKENS + 9, "knows 0 to 8"), (TOKENS[:, :5], r"\(n_samples, 6\)"),
                      (TOKENS.astype(float), "whole")):
        for explain in (explain_steps, deletion):
            with pytest.raises(InputError, match=said): explain(lstm, bad, 0)
    with pytest.raises(InputError, match="at least 1"): explain_steps(lstm, TOKENS, 0, steps=0)
    with pytest.raises(InputError, match="do not make 4 patches"): patch_scores(np.ones((2, 5)), 4)
    np.testing.assert_array_equal(patch_scores(np.arange(5.)[None], 3), [[1, 5, 4]])
