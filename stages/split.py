"""Divide the usable images among train, val and test, so that no photograph is on two sides.

Run: dvc repro split      (or: python -m stages.split --catalog data/catalog.csv --splits data/splits.csv
                           --metrics metrics/split.json)

Shares, seed and folds: the section `split` of params.yaml.
"""

from pathlib import Path

from rffd.catalog import read_catalog
from rffd.files import write_csv, write_json
from rffd.params import read_params
from rffd.splitting import COLUMNS, SplitParams, counts, split
from rffd.stage import run_stage


def main(*, catalog: Path, splits: Path, metrics: Path) -> None:
    params = read_params("split", SplitParams)
    rows = read_catalog(catalog)
    placed = split(rows, params)
    write_csv(splits, ({"path": path, "split": placed[path]} for path in sorted(placed)), COLUMNS)
    write_json(metrics, counts(rows, placed))


if __name__ == "__main__":
    run_stage(main)
