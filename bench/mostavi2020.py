"""Sum up runs of the notebook papers/mostavi2020 as one page of tables.

    cancer_dl run papers/mostavi2020 --out runs/mostavi-simulated
    cancer_dl run papers/mostavi2020 -p cohort path/to/tcga_mirna -p drop_unlabelled true --out runs/mostavi-mirna
    python bench/mostavi2020.py runs/mostavi-simulated runs/mostavi-mirna --write      also write bench/mostavi2020.md
"""
import argparse
import json
from pathlib import Path

def table(rows: list, columns: dict) -> list:
    "Markdown lines; `columns` maps a heading to a key or a function of a row."
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(str(f(row) if callable(f) else row[f]) for f in columns.values()) + " |")
    return lines

def number(value, digits=3): return "" if value is None or value != value else f"{value:.{digits}f}"

def section(r: dict) -> list:
    "The results of one run."
    lines = [f"## {r['source']}", "", f"{r['samples']:,} samples, {r['genes']:,} genes, "
             f"{r['classes']} classes with normals; {r['seconds'] / 60:.0f} minutes on 2 cores.", "",
             "Accuracy on 20 % of the patients (Fig. 2b), all learners on the same samples:", ""]
    settings = list(dict.fromkeys(s["setting"] for s in r["split"]))
    of = {(s["setting"], s["learner"]): s for s in r["split"]}
    rows = [dict(learner=name, **{s: of[s, name] for s in settings})
            for name in dict.fromkeys(s["learner"] for s in r["split"])]
    columns = {"learner": "learner"}
    for s in settings:
        columns[s] = lambda row, s=s: f"{row[s]['accuracy']:.3f} ({row[s]['lower']:.3f} to {row[s]['upper']:.3f})"
        columns[f"published, {s}"] = lambda row, s=s: number(row[s]["published"])
    lines += [*table(rows, columns), "", "Repeated 5-fold cross-validation:", ""]
    lines += table(r["crossval"],
                   {"setting": "setting", "network": "learner", "accuracy": lambda c: number(c["accuracy"], 4),
                    "sd over repeats": lambda c: number(c["sd_repeats"], 4),
                    "published": lambda c: number(c["published"]), "repeats": "n_repeats",
                    "seconds": lambda c: number(c["seconds"], 0)})
    seen, kept = r["normals_seen"], {k: number(v) for k, v in r["per_class"].items()}
    lines += ["", f"Normals shown to the network of tumours (Fig. 2c): {seen['own_tissue']['share']:.1%} "
              f"of {seen['n']} are called a cancer of their tissue (by chance {seen['by_chance']:.1%}); "
              f"the normals of {seen['types_called_own']} of {seen['types']} types are called their own cancer by "
              "most (published: 19 of 23).",
              "", "With normals as a class: " + ", ".join(f"{k} {v}" for k, v in kept.items() if v) + " (published: "
              "precision of normals 0.925, recall of READ 0.488).",
              "", f"Blind genes of the 1D-CNN: {r['blind']['cnn1d']['published pooling']:.1%} with the published "
              f"pooling, {r['blind']['cnn1d']['repaired pooling']:.1%} with the repaired one.",
              "", f"Markers by `{r['method']}` {'pass' if r['sanity'] else 'do not pass'} the sanity checks; "
              f"between {r['stability']['runs']} seeds their Jaccard index is {r['stability']['jaccard']:.2f}. "
              f"Score above 0.5: {r['markers']['default']['markers > 0.5']:.0f} markers, "
              f"{r['markers']['default']['unique genes > 0.5']:.0f} genes; by guided backpropagation "
              f"{r['markers']['guided']['markers > 0.5']:.0f} and {r['markers']['guided']['unique genes > 0.5']:.0f} "
              f"(published: 3,683 and 2,090). Best law for the scores: {r['power_law']['best']}."]
    if "recovery" in r:
        ap = {(x["kind"], x["method"]): x for x in r["recovery"]}
        rows = [dict(method=m, **{k: ap[k, m]["average_precision"] for k in ("additive", "combination")})
                for m in dict.fromkeys(x["method"] for x in r["recovery"])]
        lines += ["", "Average precision for the true markers, "
                  f"mean over classes (accuracy of the 1D-CNN on components: {r['components_accuracy']:.3f}):",
                  "", *table(rows, {"scores": "method", "additive": lambda x: number(x["additive"]),
                                    "combination only": lambda x: number(x["combination"])})]
    if "subtypes" in r:
        lines += ["", "Subtypes of breast cancer (Table 3; published accuracy of the 1D-CNN 0.884):", "",
                  *table(r["subtypes"], {"learner": "learner", "accuracy": lambda x: number(x["accuracy"]),
                                         "balanced accuracy": lambda x: number(x["balanced_accuracy"])})]
    levels = sorted(next(iter(r["noise"].values())), key=lambda k: float(k.split()[0]))
    lines += ["", "Noise (Fig. 5), accuracy of learners trained on clean samples:", "",
              *table([dict(learner=k, **v) for k, v in r["noise"].items()],
                     {"learner": "learner", **{k: (lambda x, k=k: number(x[k])) for k in levels}})]
    lines += ["", "Table 4:", "", *table(
        r["costs"], {"network": "network", "parameters": lambda c: f"{c['parameters']:,}",
                     "published": lambda c: f"{c['parameters_published']:,}",
                     "loss, train": lambda c: number(c["loss_train"]), "loss, test": lambda c: number(c["loss_test"]),
                     "epochs": "epochs", "seconds an epoch": lambda c: number(c["seconds_an_epoch"], 2)}), ""]
    return lines

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of finished runs")
    parser.add_argument("--write", action="store_true", help="write bench/mostavi2020.md")
    a = parser.parse_args()
    lines = ["# Mostavi et al. 2020 on two cohorts", "", "Made of the results of `cancer_dl run papers/mostavi2020` by "
             "`python bench/mostavi2020.py`. Published numbers are those of the paper, on TCGA RNA-seq of 7,091 genes.",
             ""]
    for folder in a.runs: lines += section(json.loads((folder/"results.json").read_text(encoding="utf-8")))
    print("\n".join(lines))
    if a.write: Path(__file__).with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")

if __name__ == "__main__": main()
