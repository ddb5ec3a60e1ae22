"""Bring in the pre-trained ViT and tell its architecture in numbers and words.

python -m stages.backbone --backbone models/backbone --metrics metrics/backbone.json
"""

from pathlib import Path

from rffd.backbone import BackboneParams, describe, make_backbone
from rffd.files import write_json
from rffd.params import read_params
from rffd.stage import run_stage


def main(*, backbone: Path, metrics: Path) -> None:
    """`backbone` becomes a folder in Hugging Face format, `metrics` holds its sizes."""
    figures = make_backbone(read_params("backbone", BackboneParams), backbone)
    write_json(metrics, figures)
    print(describe(figures))


if __name__ == "__main__":
    run_stage(main)
