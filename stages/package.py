"""Make the folder that strangers use: plain calibrated model, ONNX, side files, model card, checksums.

Run: dvc repro package     (the command with its paths stands in dvc.yaml; publishing it is `rffd publish`)

Repository, licence and authors: the section `package` of params.yaml. The card's words: rffd/templates/.
"""

from pathlib import Path

from rffd.files import read_json, write_json
from rffd.packaging import PackageParams, Sources, write_package
from rffd.params import read_params, read_value
from rffd.stage import run_stage
from rffd.store import open_store


def main(
    *,
    model: Path,
    evaluation: Path,
    splits_metrics: Path,
    evaluate_metrics: Path,
    train_metrics: Path,
    backbone_metrics: Path,
    raw: Path,
    test: Path,
    package: Path,
    metrics: Path,
) -> None:
    params = read_params("package", PackageParams)
    sources = Sources(
        data=read_value("data.source", str),
        backbone=read_value("backbone.source", str),
        backbone_repo=read_value("backbone.repo", str | None),
        split=read_json(splits_metrics),
        train=read_json(train_metrics),
        vit=read_json(backbone_metrics),
    )
    manifest = write_package(
        package,
        params,
        sources,
        model=model,
        figures=read_json(evaluate_metrics),
        details=read_json(evaluation / "details.json"),
        predictions=evaluation / "predictions.csv",
        test=open_store(test),
        raw=raw,
    )
    write_json(metrics, {"package_bytes": sum(int(line.split()[1]) for line in manifest), "package_files": manifest})


if __name__ == "__main__":
    run_stage(main)
