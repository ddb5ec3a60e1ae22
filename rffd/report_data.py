"""The report's sections on the images: what they are, how they were divided, limits and licence."""

from collections.abc import Container, Mapping
from html import escape
from pathlib import Path

from rffd.report_findings import Findings
from rffd.report_html import folded, number, paragraph, picture, table

LIMITS = Path(__file__).parent / "templates" / "limits.md"
EXPLORE = {  # pictures of the stage explore, in order, with what they show
    "reals": "Real images.",
    "fakes": "Fakes from easy to hard; what was replaced is outlined.",
    "pairs": "Fakes beside the real image that they were made from, with what was replaced.",
    "counts": "Images by class, and fakes by difficulty and region.",
    "regions": "Which regions were replaced, and how often together.",
    "changed": "How much of the picture was replaced, where the original photograph is in the set too.",
    "averages": "The average image of each class.",
    "augmentations": "What training sees: random views of one picture.",
}


def data(found: Findings) -> str:
    """What the images are, and pictures of them."""
    catalog, explored = found.metrics["catalog"], found.metrics["explore"]
    origin = {
        "sample": "Portraits drawn by the project's seeded generator, and forgeries of them with regions of other "
        "drawn portraits blended in.",
        "kaggle": "Real and Fake Face Detection, by the Computational Intelligence and Photography Lab, Yonsei "
        "University, from Kaggle.",
        "archive": "Real and Fake Face Detection, by the Computational Intelligence and Photography Lab, Yonsei "
        "University, from the downloaded archive.",
    }.get(found.source, "A folder of images sorted into real and fake.")
    text = paragraph(
        origin,
        f"{number(catalog.get('images_real'))} real and {number(catalog.get('images_fake'))} fake images are used; "
        f"{number(catalog.get('images_set_aside'))} were set aside, each with its reason in the catalogue.",
        f"{number(catalog.get('images_shared'))} images share their photograph with another, in "
        f"{number(catalog.get('groups_shared'))} groups.",
        f"{number(explored['masks'])} fakes could be laid over the untouched photograph that they were made from: what "
        "differs is what was replaced, and heat maps are measured against it."
        if explored.get("masks")
        else "",
    )
    folder = found.plots / "explore"
    return text + pictures(folder, EXPLORE) + folded("More pictures of the data", others(folder, {*EXPLORE, "audit"}))


def pictures(folder: Path, captions: Mapping[str, str]) -> str:
    """Those of a folder's pictures that have a caption, in the captions' order."""
    return "".join(picture(folder / f"{name}.png", words, words) for name, words in captions.items())


def others(folder: Path, known: Container[str]) -> str:
    """A folder's other pictures, under their names."""
    stems = sorted(path.stem for path in folder.glob("*.png") if path.stem not in known)
    return pictures(folder, {stem: f"{stem.replace('_', ' ').capitalize()}, by the stage explore." for stem in stems})


def split(found: Findings) -> str:
    """How the data was divided, and why so."""
    sizes = found.metrics["split"]
    rows = [
        [name, number(sizes.get(f"split_{key}")), number(sizes.get(f"split_{key}_fake")), use]
        for key, name, use in (
            ("train", "training", "fitting the weights"),
            ("val", "validation", "choosing epoch, values, calibration, thresholds"),
            ("test", "test", "measuring, once everything is chosen"),
        )
    ]
    return (
        paragraph(
            "Some fakes were made from a photograph that is in the set as a real one. A split by image would put such "
            "partners on both sides, mostly under opposite labels, and measure memory. So images that share a "
            "photograph are one group, and no group is divided."
        )
        + paragraph("Label, difficulty, JPEG header and pairing are balanced among the three parts.")
        + table(["Part", "Images", "of them fake", "Used for"], rows, "Images by part")
    )


def limits(found: Findings) -> str:
    """What it must not be used for."""
    points = LIMITS.read_text(encoding="utf-8").strip().removeprefix("- ").split("\n- ")
    if found.source == "sample":
        points.insert(0, "It has seen drawn faces only. Do not use it on photographs.")
    return "<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>\n"


def licence(found: Findings) -> str:
    """Under which terms the images in this report stand."""
    if found.source == "sample":
        return paragraph(
            "The faces in this report are drawn by the project and show no person. They are the project's own."
        )
    terms = (
        "Real and Fake Face Detection is under CC BY-NC-SA 4.0 according to Kaggle (its creators' own page states no "
        "licence): name its creators (Computational Intelligence and Photography Lab, Yonsei University), no "
        "commercial use, share alike. This report shows its photographs: pass it on under the same terms."
    )
    if found.source in ("kaggle", "archive"):
        return paragraph(terms)
    return paragraph(
        "The images came from a folder; their licence is their owner's, and this report shows some of them.",
        f"If they are those of the public dataset: {terms}",
    )
