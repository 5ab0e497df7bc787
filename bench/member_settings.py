"""Eight members that are alike, and eight with settings of their own, with and without a choice on a validation part.

    python bench/member_settings.py            prints the table
    python bench/member_settings.py --write    also writes bench/member_settings.md

2 x 5 folds by patient, the same for all. Predictions are kept in a cache folder as they are made (--cache), so an
interrupted run goes on. Needs two cohorts of bench/cohorts.py in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from cohorts import check_there, log_loss, read

from cancer_dl.benchmark import kept_result
from cancer_dl.classify import default_pipeline
from cancer_dl.core import atomic_path
from cancer_dl.train.fit import forget_compiled
from cancer_dl.train.validate import compare_folds

NAMES, FOLDS, ALIKE = ("sorlie", "brca_divergence"), dict(n_splits=5, n_repeats=2, seed=7), "alike"
AROUND = {"dense": (128, 1024), "dropout": (.2, .7), "learning_rate": (5e-4, 8e-3), "weight_decay": (1e-3, 1e-1)}
ASIDE = dict(validation_fraction=.15)
WAYS = {ALIKE: {}, "alike, 15 % aside": ASIDE, "own settings": dict(member_settings=AROUND),
        "own settings, chosen on 15 %": dict(member_settings=AROUND) | ASIDE}

def rows(name, cache) -> list:
    "The rows of one cohort."
    data, found, lines = read(name), {}, []
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    for way, options in WAYS.items():
        network = default_pipeline(data.units, len(data.genes), random_state=0, members=8, **options)
        started = time.process_time()
        r = found[way] = kept_result(way, network, data, FOLDS, folder)
        forget_compiled()
        print(f"{name}, {way}: {time.process_time() - started:.0f} s of processor time", flush=True)
        difference = ""
        if way != ALIKE:
            c = compare_folds(r, found[ALIKE])
            difference = "{:+.3f} ({:+.3f} to {:+.3f})".format(c["difference"], *c["interval"])
        lines.append(f"| {name}, {len(data.y)} samples | {way} | {r.repeat_accuracy.mean():.3f} | {difference} "
                     f"| {np.mean(log_loss(r.probability, r.y)):.3f} |")
    return lines

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cancer_dl_member_settings")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    check_there(NAMES)
    lines = ["# Members with settings of their own", "",
             "Written by `python bench/member_settings.py --write`. Eight members of the default network; 2 x 5 "
             "folds by patient, the same for all. Drawn around the values of the default: "
             + ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in AROUND.items())
             + ". Set aside are 15 % of the training patients of each fold: for the epoch that is kept, and for the "
             "choice of members.", "",
             "| cohort | eight members | accuracy | minus those alike (95 %, corrected t) | log loss |",
             "|---|---|---:|---|---:|", *(line for name in NAMES for line in rows(name, options.cache)), ""]
    print("\n".join(lines))
    if options.write:
        with atomic_path(Path(__file__).with_suffix(".md")) as path: path.write_text("\n".join(lines), encoding="utf-8")

if __name__ == "__main__": main()
