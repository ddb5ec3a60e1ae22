"""List every image in one row, with its group and status, and audit what tells the label without a face.

Run: dvc repro catalog      (or: python -m stages.catalog --raw data/raw --pairs data/pairs
                             --catalog data/catalog.csv --metrics metrics/catalog.json --plots plots/catalog)

Settings of the audit: the section `catalog` of params.yaml.
"""

import sys
from pathlib import Path

from rffd import shortcuts
from rffd.catalog import COLUMNS, figures, usual_signature
from rffd.cataloguing import CatalogParams, describe_images, read_pairs
from rffd.files import replacing, write_csv, write_json
from rffd.params import read_params
from rffd.stage import run_stage


def main(*, raw: Path, pairs: Path, catalog: Path, metrics: Path, plots: Path) -> None:
    params = read_params("catalog", CatalogParams)
    rows, statistics = describe_images(raw, read_pairs(pairs / "pairs.csv"))
    found = shortcuts.audit(rows, statistics, usual_signature(rows), params.audit)
    for warning in shortcuts.warnings(found):
        print(f"warning: {warning}", file=sys.stderr)
    write_csv(catalog, rows, COLUMNS)
    write_json(metrics, figures(rows) | shortcuts.as_metrics(found))
    with replacing(plots) as folder:
        shortcuts.plot(found, folder / "shortcuts.png")
        write_csv(folder / "shortcuts.csv", shortcuts.table(found), shortcuts.TABLE_COLUMNS)


if __name__ == "__main__":
    run_stage(main)
