"""Look at the data: counts, regions, sizes, channels, shortcuts, and sheets of faces to look at.

    python -m stages.explore --raw data/raw --pairs data/pairs --catalog data/catalog.csv \
        --backbone models/backbone --metrics metrics/explore.json --exploration data/exploration --plots plots/explore
"""

from pathlib import Path

from rffd.exploration import Exploration, ExploreParams, chosen, counts, explore, figures
from rffd.files import replacing, write_csv, write_json
from rffd.params import read_params, read_value
from rffd.preprocessing import PreprocessParams
from rffd.stage import run_stage


def main(
    *, raw: Path, pairs: Path, catalog: Path, backbone: Path, metrics: Path, exploration: Path, plots: Path
) -> None:
    params = read_params("explore", ExploreParams)
    contract = read_params("preprocess", PreprocessParams)
    found = explore(raw, pairs, catalog, backbone, params, contract)
    write_json(metrics, figures(found))
    with replacing(exploration) as folder:
        for name, numbers in counts(found.rows).items():
            unit = "images" if name == "class" else "fakes"
            write_csv(folder / f"{name}_counts.csv", [{name: k, unit: n} for k, n in numbers.items()], [name, unit])
    with replacing(plots) as folder:
        draw(found, raw, pairs, backbone, params, contract, folder)


def draw(
    found: Exploration,
    raw: Path,
    pairs: Path,
    backbone: Path,
    params: ExploreParams,
    contract: PreprocessParams,
    folder: Path,
) -> None:
    from rffd.augment import AugmentParams  # here: the workers import this file too, and draw nothing
    from rffd.exploration_augmentations import augmentations_sheet
    from rffd.exploration_charts import draw_charts
    from rffd.exploration_sheets import draw_sheets
    from rffd.look import save_image

    draw_charts(found, folder)
    draw_sheets(found, raw, pairs, params, folder)
    augment = read_value("fit.augment", AugmentParams)
    real = chosen([row for row in found.rows if row["label"] == "real"], params.seed, 1)[0]
    page = augmentations_sheet(raw / real["path"], backbone, contract, augment, params.seed, params.augmented)
    save_image(page, folder / "augmentations.png")


if __name__ == "__main__":
    run_stage(main)
