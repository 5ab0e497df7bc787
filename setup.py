"Packaging: everything that varies is read from settings.ini, which nbdev reads too."
import configparser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = configparser.ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

extras = {name: settings[f"{name}_requirements"].split()
          for name in ("gpu", "jax", "dask", "shap", "survival", "excel", "dev")}

# Recipes and papers are notebooks, not modules: they travel in the wheel as the data of packages of their own.
# An editable install does not see this mapping, so cancer_dl.runs also looks in the checkout.
notebooks = {f"cancer_dl.{kind}": f"nbs/{kind}" for kind in ("recipes", "papers")
             if any((here / "nbs" / kind).glob("*.ipynb"))}
setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8") if (here / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author=settings["author"],
    url=settings["git_url"],
    license="MIT",
    license_files=["LICENSE"],
    keywords=settings["keywords"].split(),
    python_requires=f">={settings['min_python']}",
    packages=find_packages(include=["cancer_dl", "cancer_dl.*"]) + list(notebooks),
    package_dir=notebooks,
    package_data={"cancer_dl": ["templates/*/*", "ready/*.zip"], **{package: ["*.ipynb"] for package in notebooks}},
    install_requires=settings["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": settings["console_scripts"].split("\n")},
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
