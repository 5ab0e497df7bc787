"""Processor seconds an epoch of networks with several members, against as many trainings of one, in one run.

    python bench/members.py                  all rows
    python bench/members.py --write          also write the table to bench/members.md
    python bench/members.py --members 1 8    some numbers of members only

Each backend runs in a process of its own. Within it all networks are built first; then they take turns, `--rounds`
times, `STEPS` batches each, so that a machine whose speed drifts treats them alike. Processor time is counted, over
all threads, because the machine may be shared; the fastest turn is scaled to an epoch. The time to compile, in the
first turn, is given beside it.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

BATCH, CLASSES, STEPS = 128, 33, 15
SIZES = {"mlp": (7_627, 578), "cnn1d": (2_000, 7_100)}  # network: samples, features
BACKENDS = {"TensorFlow": ("tensorflow", False), "JAX": ("jax", None), "TensorFlow, XLA": ("tensorflow", True)}
SPARSE = (1, 8)  # members where a backend compiles for long
FORMS = ("stacked", "side by side")

READING = """"Of as many trainings": the epoch of all members, as a share of the time that as many epochs of one network
take in the same process. Below 100 % the ensemble is cheaper. The first turn of 15 batches compiles.
Processor time, on a machine that was shared: differences below 15 % say nothing. Under XLA on a CPU TensorFlow takes
ten times as long for one network as without; compare its rows with those of plain TensorFlow.

"""

def trainer_of(name, members, form, xla):
    "A trainer of a network with so many members, held in that form."
    from cancer_dl.core import keras_module
    from cancer_dl.models.members import ensemble, member_objective, training_model
    from cancer_dl.models.zoo import build_model
    from cancer_dl.train.backends import trainer_for
    from cancer_dl.train.task import make_objective
    def network():
        model = ensemble(lambda: build_model(name, SIZES[name][1], CLASSES), members, way=form)
        return keras_module().models.clone_model(training_model(model))
    objective = member_objective(make_objective(label_smoothing=0.1), members, by_sample=True)
    return trainer_for(network, lambda: keras_module().optimizers.Adam(1e-3), objective, xla=xla)

def measure(backend, name, members, rounds):
    "Seconds of the first epoch and of the fastest later one, for each number of members and form."
    import numpy as np

    from cancer_dl.train.backends import epoch_order
    samples, features = SIZES[name]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(samples, features)).astype("float32"), rng.integers(0, CLASSES, samples).astype("int32")
    order, mask = epoch_order(samples, BATCH, rng)
    epochs, rows, made = len(order) / STEPS, {}, {}
    def turn(key):
        started = time.process_time()
        made[key][0].epoch(made[key][1], order[:STEPS], mask[:STEPS])
        return (time.process_time() - started) * epochs
    for m in members:
        for form in FORMS if m > 1 else FORMS[:1]:
            trainer = trainer_of(name, m, form if m > 1 else "auto", BACKENDS[backend][1])
            made[m, form] = trainer, trainer.load(X, y, np.ones(samples, "float32"))
            rows[m, form] = dict(first=turn((m, form)) / epochs, later=[])
    for _ in range(rounds):
        for key in made: rows[key]["later"].append(turn(key))
    return [dict(network=name, backend=backend, members=m, form=form, first=row["first"], seconds=min(row["later"]))
            for (m, form), row in rows.items()]

def table(rows) -> str:
    "The rows as Markdown, each against as many trainings of one."
    one = {(r["network"], r["backend"]): r["seconds"] for r in rows if r["members"] == 1}
    lines = ["| network | backend | members | form | processor seconds an epoch | times one member "
             "| of as many trainings | first turn, s |",
             "|---|---|---:|---|---:|---:|---:|---:|"]
    for r in rows:
        times = r["seconds"] / one[r["network"], r["backend"]]
        form = r["form"] if r["members"] > 1 else "one network"
        lines.append(f"| {r['network']} | {r['backend']} | {r['members']} | {form} | {r['seconds']:.3f} | {times:.2f} "
                     f"| {times / r['members']:.0%} | {r['first']:.1f} |")
    return "\n".join(lines) + "\n"

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--networks", nargs="+", default=list(SIZES))
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("RESULT" + json.dumps(measure(*options.one, options.members, options.rounds)))
        return
    rows = []
    for name in options.networks:
        for backend in options.backends:
            if backend.endswith("XLA") and name != "mlp": continue
            members = [m for m in options.members if backend == "TensorFlow" or m in SPARSE]
            command = [sys.executable, __file__, "--one", backend, name, "--rounds", str(options.rounds),
                       "--members", *map(str, members)]
            environment = dict(os.environ, KERAS_BACKEND=BACKENDS[backend][0])
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode: raise SystemExit(done.stderr[-3000:])
            rows += json.loads(next(l for l in done.stdout.splitlines() if l.startswith("RESULT"))[6:])
    text = table(rows)
    print(text)
    if options.write:
        threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or "all"
        sizes = "; ".join(f"`{name}`: {n:,} samples of {p:,} features" for name, (n, p) in SIZES.items())
        head = (f"# Members: one program against several trainings\n\nMade by `python bench/members.py --write` on "
                f"{platform.machine()}, {os.cpu_count()} cores, {threads} thread(s) in TensorFlow's operations.\n"
                f"{sizes}; {CLASSES} classes, batches of {BATCH}, Adam.\n\n" + READING)
        Path(__file__).with_suffix(".md").write_text(head + text, encoding="utf-8")

if __name__ == "__main__": main()
