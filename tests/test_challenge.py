"Challenges: parts by patient, sealed answers, counted looks, the end, the commands."
import json

import numpy as np
import pandas as pd
import pytest
from refusing import refused

from cancer_dl.challenge import Challenge, check_submission, make_challenge, read_submission, seal_of
from cancer_dl.data.cohort import read_cohort

@pytest.fixture
def challenge(simulated, tmp_path):
    return make_challenge(simulated(n_samples=120, n_genes=20, n_classes=2, share_normals=0, seed=6), tmp_path/"c",
                          looks=2, seed=3)

def perfect(challenge):
    answers = challenge.answers()
    return answers[["sample_id", "label"]].rename(columns={"label": "prediction"})

def test_nothing_public_holds_an_answer(challenge, simulated):
    whole = simulated(n_samples=120, n_genes=20, n_classes=2, share_normals=0, seed=6)
    public = challenge.folder/"public"
    training, test = (read_cohort(public/part, verbose=False) for part in ("training", "test"))
    answers = challenge.answers()
    assert list(test.obs.columns) == [] and training.n_obs + test.n_obs == 120
    assert not set(answers["patient"]) & set(training.obs.get("patient", training.obs_names).astype(str))
    text = b"".join(p.read_bytes() for p in public.rglob("*") if p.is_file() and p.suffix != ".parquet").decode()
    assert not [name for name in answers["own_id"] if name in text]
    own = whole[answers["own_id"].to_numpy()]
    assert np.allclose(test.X, own.X[:, [list(own.var_names).index(g) for g in test.var_names]])  # the ids are right
    assert list(answers["own_id"]) != sorted(answers["own_id"]) and set(answers["part"]) == {"leaderboard", "final"}

def test_looks_are_counted_and_mistakes_cost_none(challenge):
    table = perfect(challenge)
    refused(lambda: challenge.submit("a", table.iloc[1:]), "lacks 1 samples")
    refused(lambda: challenge.submit("a", table.assign(prediction="X")), "'X'", "is no class")
    refused(lambda: challenge.submit("a", table.drop(columns="prediction")), "no column 'prediction'")
    refused(lambda: challenge.submit("a", pd.concat([table, table.iloc[:1]])), "twice")
    refused(lambda: challenge.submit(" ", table), "name of a team")
    assert challenge.looks == [] and challenge.board().empty
    assert challenge.submit("a", table.sample(frac=1, random_state=0))["looks_left"] == 1
    assert challenge.submit("a", table) == dict(team="a", accuracy=1.0, looks_left=0,
                                                accuracy_interval=challenge.looks[1]["accuracy_interval"])
    refused(lambda: challenge.submit("a", table), "used all of its 2 looks")
    assert challenge.submit("b", table.assign(prediction=table["prediction"] + " "))["accuracy"] == 1.0

def test_the_leaderboard_says_nothing_of_the_final_test(challenge):
    "Wrong answers in the final part change no score before the end."
    answers, table = challenge.answers(), perfect(challenge)
    classes, final = challenge.rules["classes"], (answers["part"] == "final").to_numpy()
    other = np.where(table["prediction"] == classes[0], classes[1], classes[0])
    wrong = table.assign(prediction=np.where(final, other, table["prediction"]))
    assert challenge.submit("honest", table)["accuracy"] == challenge.submit("tuned", wrong)["accuracy"] == 1
    end = challenge.close()
    assert end.table.set_index("team").accuracy.to_dict() == {"honest": 1.0, "tuned": 0.0}
    assert "honest is better than" in end.verdict
    refused(lambda: challenge.submit("late", table), "closed")

def test_the_last_submission_counts(challenge):
    table, classes = perfect(challenge), challenge.rules["classes"]
    challenge.submit("a", table)
    challenge.submit("a", table.assign(prediction=classes[0]))
    assert challenge.board()["accuracy"][0] < 1 and challenge.close().table["accuracy"][0] < 1

def test_changed_answers_break_the_seal(challenge):
    file, classes = challenge.folder/"sealed"/"answers.csv", challenge.rules["classes"]
    answers = challenge.answers()
    answers.loc[0, "label"] = classes[1 - classes.index(answers.loc[0, "label"])]
    answers.to_csv(file, index=False)
    refused(challenge.close, "does not match the seal")

def test_the_seal_can_be_computed_by_anybody(challenge):
    table = perfect(challenge)
    challenge.submit("a", table)
    assert seal_of(challenge.close().salt, challenge.answers()) == challenge.rules["seal"]
    assert json.loads((challenge.folder/"public"/"challenge.json").read_text())["closed"] is True

def test_what_is_refused(simulated, challenge, tmp_path):
    cohort = simulated(n_samples=120, n_genes=20, n_classes=2, share_normals=0, seed=6)
    refused(lambda: make_challenge(cohort, tmp_path/"n", looks=0), "looks is 0")
    refused(lambda: make_challenge(cohort, tmp_path/"n", final=0.6, leaderboard=0.5), "their sum below 1")
    refused(lambda: Challenge(tmp_path/"nowhere"), "holds no challenge")
    refused(challenge.close, "No team has handed in")
    refused(lambda: make_challenge(cohort, challenge.folder), "earlier challenge")
    (tmp_path/"bad.csv").write_text('a,b\n"x')
    refused(lambda: check_submission(read_submission(tmp_path/"bad.csv"), ["s"], ["k"]), "bad.csv")

def test_the_commands(simulated, tmp_path, capfd):
    from cancer_dl.cli import main
    from cancer_dl.data.simulate import write_simulated
    def command(*words):
        with pytest.raises(SystemExit) as ended: main(["challenge", *map(str, words)])
        return ended.value.code
    write_simulated(simulated(n_samples=120, n_genes=20, n_classes=2, share_normals=0, seed=6), tmp_path/"cohort")
    assert command("make", tmp_path/"cohort", "--out", tmp_path/"c", "--looks", 1) == 0
    perfect(Challenge(tmp_path/"c")).to_csv(tmp_path/"p.csv", index=False)
    submit = ("submit", tmp_path/"c", tmp_path/"p.csv", "--team", "one")
    assert command(*submit) == 0 and "0 looks left" in capfd.readouterr().out
    assert command(*submit) == 2 and "used all of its 1 looks" in capfd.readouterr().err
    assert command("board", tmp_path/"c") == 0 and "one" in capfd.readouterr().out
    assert command("close", tmp_path/"c") == 0 and "one was alone" in capfd.readouterr().out
    assert command("board", tmp_path/"cohort") == 2 and "holds no challenge" in capfd.readouterr().err

def test_the_public_file_changes_no_rule(challenge):
    table, public = perfect(challenge), challenge.folder/"public"/"challenge.json"
    for team in ("a", "A"): challenge.submit(team, table)
    public.write_text(json.dumps({**challenge.rules, "looks": 99, "closed": False, "classes": []}))
    refused(lambda: challenge.submit("a", table), "used all of its 2 looks")
    challenge.close()
    public.write_text(json.dumps({**challenge.rules, "closed": False}))
    refused(lambda: challenge.submit("late", table), "closed")
    refused(challenge.close, "result stands in sealed/final.json")

def test_patients_are_sealed_too(challenge):
    file = challenge.folder/"sealed"/"answers.csv"
    table = pd.read_csv(file, dtype=str)
    table.assign(patient="one").to_csv(file, index=False)
    refused(challenge.answers, "does not match the seal")
