"""Make the ready-made models that come with the package: the default network on public cohorts, judged by patient.

    python bench/ready.py [NAME …]      writes cancer_dl/ready/NAME.zip

Needs the cohorts `tcga_mirna` and `tcga_cnv_bins` in the folder CANCER_DL_DATA (default ../shared/data).
"""
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from cancer_dl.classify import train_classifier
from cancer_dl.core import data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.train.bundle import load_bundle, save_bundle
from cancer_dl.train.ready import ready_folder, rounded

TCGA = "The Cancer Genome Atlas Research Network, Weinstein JN et al. Nat Genet 2013, 45:1113"
MODELS = {
    "tcga-mirna": dict(
        cohort="tcga_mirna", normal_class=True, beside="bench/cohorts.md",
        about="tumour type or normal tissue from microRNA expression",
        licence="weights: MIT; data: TCGA, open access, obtained through RTCGA.miRNASeq (GPL-2)",
        citation=f"{TCGA}; Broad GDAC Firehose 2015-11-01; Kosinski M. RTCGA, Bioconductor"),
    "tcga-cnv": dict(
        cohort="tcga_cnv_bins", normal_class=False, members=2, beside="bench/copy_number.md",
        about="tumour type from copy number (mean log2 ratio in bins of 5 million bases, hg19)",
        licence="weights: MIT; data: TCGA, open access, obtained through RTCGA.CNV (GPL-2)",
        citation=f"{TCGA}; Broad GDAC Firehose 2015-11-01; Kosinski M. RTCGA, Bioconductor"),
}

def make(name: str, cohort: str, normal_class: bool, beside: str, about: str, licence: str, citation: str,
         **options):
    "Train on the whole cohort, judge by cross-validation, round the weights, write, and look at what was written."
    found = read_cohort(data_dir(cohort))
    trained = train_classifier(found, "cancer_type", normal_class, judge="crossval", source=cohort, **options)
    said = dict(trained.bundle.facts["provenance"], about=about, licence=licence, citation=citation,
                verdict=f"Baselines are compared on this cohort in {beside} of the repository.")
    bundle = trained.bundle
    bundle.facts["provenance"] = said
    X, y = trained.data.X[:2000], trained.data.y[:2000]
    before = bundle.predict_proba(X)
    bundle = rounded(bundle)
    path = ready_folder() / f"{name}.zip"
    path.parent.mkdir(exist_ok=True)
    save_bundle(bundle, path, overwrite=True)
    after = load_bundle(path).predict_proba(X)
    same = (before.argmax(1) == after.argmax(1)).mean()
    m = bundle.facts["metrics"]
    print(f"{name}: accuracy {m['accuracy']:.4f} {np.round(m['accuracy_interval'], 4)} by {trained.assessment.plan}; "
          f"rounded, {same:.2%} of {len(y):,} calls are the same; {path.stat().st_size / 1e6:.1f} MB")

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS: make(name, **MODELS[name])
