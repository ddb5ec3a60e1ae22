"""Where the detector looks and which regions it calls replaced, measured against the truth.

    python -m stages.explain --model models/model --val data/processed/val --test data/processed/test \
        --evaluation data/evaluation --explanation data/explanation --plots plots/explain

Writes `details.json` and the exhibits' pictures to `--explanation`, and charts and sheets to `--plots`.
"""

from pathlib import Path

from rffd.exhibits import write_exhibits, write_map_sheet
from rffd.files import replacing, write_json
from rffd.inference import to_best_device
from rffd.inspection import ExplainParams, inspect, read_predictions
from rffd.localisation_plots import write_localisation_plots
from rffd.model import load_detector
from rffd.params import read_params
from rffd.stage import run_stage
from rffd.store import open_store


def main(*, model: Path, val: Path, test: Path, evaluation: Path, explanation: Path, plots: Path) -> None:
    """Measure every map on test, then draw what was found."""
    params = read_params("explain", ExplainParams)
    detector, images = to_best_device(load_detector(model)), open_store(test)
    found = read_predictions(evaluation)
    seen = inspect(detector, open_store(val), images, found, params)
    details = seen.details
    with replacing(explanation) as folder, replacing(plots) as pictures:
        folder.mkdir(parents=True)
        pictures.mkdir(parents=True)
        details["exhibits"] = write_exhibits(detector, images, found, details["shown"], params, folder, pictures)
        write_map_sheet(detector, images, seen.occlusion, params, pictures / "maps.png")
        write_localisation_plots(details, pictures)
        write_json(folder / "details.json", details)


if __name__ == "__main__":
    run_stage(main)
