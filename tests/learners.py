"Learners that misbehave, for processes of their own: little is imported here, since each of those imports it."
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Holds(ClassifierMixin, BaseEstimator):
    "Holds so many MB while it is fitted; says the first class."
    def __init__(self, megabytes=0): self.megabytes = megabytes
    def fit(self, X, y):
        self.classes_, ballast = np.unique(y), np.ones(self.megabytes * 2**17)
        self.total_ = ballast.sum()
        return self
    def predict(self, X): return np.full(len(X), self.classes_[0])

class Fails(Holds):
    "Cannot be fitted."
    def fit(self, X, y): raise ValueError("no solution")

class Remembers(Holds):
    "Fails where it is tested on a sample that it was fitted on."
    def fit(self, X, y):
        self.seen_ = {row.tobytes() for row in np.asarray(X)}
        return super().fit(X, y)
    def predict(self, X):
        assert not [row for row in np.asarray(X) if row.tobytes() in self.seen_]
        return super().predict(X)

class Waits(Holds):
    "Writes a line into a file for each fit; the second one of all takes minutes."
    def __init__(self, log="", megabytes=0): self.log, self.megabytes = log, megabytes
    def fit(self, X, y):
        with open(self.log, "a") as file: file.write("fit\n")
        if len(Path(self.log).read_text().splitlines()) == 2: time.sleep(300)
        return super().fit(X, y)
