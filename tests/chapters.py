"""The chapters as `make test` runs them: `nbdev_test`, where a default network holds one member.

Plain `nbdev_test`, and `make test-all`, have the default as it is shipped."""
from pathlib import Path

import nbdev.test
from small import FEW_REPEATS, as_traced, collect_rarely, of_one_member, with_few_dots

run_chapter = nbdev.test.test_nb


def run_small_chapter(path, **options):
    "Chapters run one after another in the same process; TensorFlow is there from the first that needs it."
    from cancer_dl import plot
    from cancer_dl.models import zoo
    as_traced()
    if not hasattr(zoo, "whole"):
        zoo.whole = zoo.suited_settings
        zoo.suited_settings = of_one_member(zoo.whole)
        plot.figure_png = with_few_dots(plot.figure_png)
        collect_rarely()
    if Path(path).name > "38":  # an earlier chapter may enter into a register what `assess` would import
        from cancer_dl.train import assess
        assess.REPEATS = FEW_REPEATS
    return run_chapter(path, **options)


if __name__ == "__main__":
    import chapters  # by its own name, which a worker finds after a chapter has become its main module
    nbdev.test.test_nb = chapters.run_small_chapter
    nbdev.test.nbdev_test()
