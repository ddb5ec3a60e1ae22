"""The report's sections on where the detector looks: the maps put to the test, and single pictures with verdicts."""

from collections.abc import Mapping
from html import escape
from typing import Any

from rffd.localisation import MAP_NAMES
from rffd.names import REGIONS
from rffd.report_findings import Findings
from rffd.report_html import folded, image, number, paragraph, percent, picture, spread, table

CALLED = 0.5


def explanation(found: Findings) -> str:
    """How well each map finds what was replaced, beside a map that never changes and models of shuffled weights."""
    explained, plots = found.explained, found.plots / "explain"
    maps, counts = explained.get("maps") or {}, explained.get("counts") or {}
    measures = ("pixel_auc", "region_auc", "iou", "pointing")
    rows = [
        [words, *(spread(maps[name], key, 2) for key in measures), verdict(maps[name])]
        for name, words in MAP_NAMES.items()
        if name in maps
    ]
    heading = ["Map", "Pixel AUC", "Region AUC", "IoU", "Pointing", "Shuffled weights"]
    return (
        paragraph(
            "A heat map proves nothing by looking plausible, so each is measured: against "
            f"{number(counts.get('masks'))} registered masks of what was really replaced, and on "
            f"{number(counts.get('fakes'))} test fakes whose regions are known.",
            chosen(explained),
        )
        + conclusion(explained)
        + picture(
            plots / "localisation.png",
            "Pixel and region AUC, IoU and pointing accuracy of each map with 95 % intervals",
        )
        + table(heading, rows, "Maps against the truth, on test")
        + paragraph(
            "Pixel AUC: does heat rank replaced pixels above others (0.5 is chance). Region AUC: is a region hotter in "
            "fakes in which it was replaced than in others; a map that is the same for every picture has 0.5, so this "
            "is what counts. IoU: overlap of the hottest part with the mask. Pointing: is the hottest spot inside a "
            "replaced region. Shuffled weights: region AUC of models that learned nothing; they must do worse, else "
            "the map shows the picture and not the detector."
        )
        + picture(plots / "maps.png", "Test fakes with every map and the registered mask side by side")
        + curve_section(found)
        + region_section(found)
        + exhibits(found, "examples", "Test images, evenly spaced and not chosen by result")
    )


def chosen(explained: Mapping[str, Any]) -> str:
    """Which map the pictures show: attention, hot on genuine faces too, is measured but proves nothing of one."""
    name = MAP_NAMES.get(explained.get("shown", ""))
    if not name:
        return ""
    if explained["shown"] == "patches":
        return "Pictures show the patch head from 0 to 1: where nothing is hot, it called nothing replaced."
    return (
        "On validation the patch head isn't clearly better than chance at telling regions, so pictures show the "
        f"{name}, each scaled by itself: all have a hot spot."
    )


def conclusion(explained: Mapping[str, Any]) -> str:
    """Whether that map finds forgeries, or only knows where they usually lie; nothing if it wasn't measured."""
    found = (explained.get("maps") or {}).get(explained.get("shown")) or {}
    ends = found.get("region_auc_ci95")
    if not ends:
        return ""
    value = spread(found, "region_auc", 2)
    if ends[0] > 0.5:
        return paragraph(f"It finds more than the usual places: its region AUC is {value}, chance being 0.5.")
    return paragraph(
        f"Its region AUC is {value}, not above chance, 0.5: it may know where forgeries usually lie, but it can't be "
        "shown to find those of the picture at hand. Don't read the heat as evidence."
    )


def verdict(found: Mapping[str, Any]) -> str:
    """What the control of shuffled weights came to, in words."""
    control = found.get("control")
    if not control or control.get("fails") is None:
        return "not tried" if not control else "not defined"
    return f"{number(control.get('region_auc'), 2)}, {'worse' if control['fails'] else 'not clearly worse'}"


def curve_section(found: Findings) -> str:
    """Deletion and insertion."""
    curves = found.explained.get("curves")
    if not curves:
        return paragraph("Deletion and insertion curves need a test fake that is called fake; there was none.")
    rows = [
        [MAP_NAMES.get(name, name), number(values.get("deletion_area")), number(values.get("insertion_area"))]
        for name, values in curves.items()
        if isinstance(values, Mapping)
    ]
    return (
        "<h3>Does the verdict hang on what is hot?</h3>\n"
        + paragraph(
            f"On {number(curves.get('images'))} fakes that are called fake, patches are blurred from hot to cold, or "
            "uncovered on a blurred picture. A good map makes the first fall and the second rise faster than a random "
            "order does."
        )
        + picture(
            found.plots / "explain" / "curves.png", "Mean probability of fake as patches are blurred or uncovered"
        )
        + folded(
            "Areas under the curves", table(["Order", "Deletion", "Insertion"], rows, "Lower and higher are better")
        )
    )


def region_section(found: Findings) -> str:
    """Which regions were replaced: the region heads, and pointing by region."""
    regions = found.explained.get("regions") or {}
    shown = found.explained.get("maps", {}).get(found.explained.get("shown"), {}).get("by_region", {})
    rows = []
    for name in REGIONS:
        if row := regions.get(name):
            pointed = shown.get(name, {})
            rows.append(
                [
                    name.replace("_", " "),
                    number(row.get("replaced")),
                    percent(row.get("share")),
                    spread(row, "average_precision", 2),
                    spread(row, "f1", 2),
                    spread(pointed, "pointing", 2),
                    number(pointed.get("chance"), 2),
                ]
            )
    heading = ["Region", "Replaced", "Share", "Average precision", "F1 at 0.5", "Pointing", "By area"]
    return (
        "<h3>Which regions does it call replaced?</h3>\n"
        + paragraph(
            "Over all test images, a genuine one counting as four zeros. The share replaced is what average precision "
            "would be by chance."
        )
        + picture(
            found.plots / "explain" / "regions.png", "Average precision and F1 of the four regions with intervals"
        )
        + table(heading, rows, "Region scores on test")
    )


def mistakes(found: Findings) -> str:
    """The surest wrong answers of both kinds."""
    kinds = {"false_positives": "Genuine pictures called fake", "false_negatives": "Fakes called genuine"}
    shown = "".join(exhibits(found, kind, title) for kind, title in kinds.items())
    return paragraph("The test images on which it was most sure and wrong.") + shown


def exhibits(found: Findings, kind: str, title: str) -> str:
    """Pictures with their verdicts and region scores; says so where there is none."""
    cards = (found.explained.get("exhibits") or {}).get(kind) or []
    heading = f"<h3>{escape(title)}</h3>\n"
    if not cards:
        return heading + paragraph("None.")
    key = "Left: the face, with each region called replaced outlined. Right: heat; a white line is the registered mask."
    return heading + paragraph(key) + f'<ul class="exhibits">{"".join(card(found, each) for each in cards)}</ul>\n'


def card(found: Findings, each: Mapping[str, Any]) -> str:
    """One picture with its verdict."""
    said = "fake" if each["probability"] >= 0.5 else "real"
    called = [name.replace("_", " ") for name, score in zip(REGIONS, each["regions"], strict=True) if score >= CALLED]
    alt = (
        f"{each['path']}: {each['label']}, called {said} at {each['probability']:.2f}; "
        f"regions called: {', '.join(called) or 'none'}"
    )
    bars = ""
    for k, name in enumerate(REGIONS):
        score, state = each["regions"][k], "called" if each["regions"][k] >= CALLED else ""
        true = " (replaced)" if each["replaced"] and each["replaced"][k] else ""
        bars += (
            f'<dt class="{state}">{name.replace("_", " ")}{true}</dt>'
            f'<dd class="level {state}" aria-hidden="true"><i style="width:{100 * score:.0f}%"></i></dd>'
            f'<dd class="{state}">{score:.2f}</dd>'
        )
    picture_ = image(found.explanation / each["picture"], alt)
    return (
        f'<li>{picture_}<div>called <span class="is-{said}">{said}</span>, {each["probability"]:.2f}; is '
        f'<span class="is-{each["label"]}">{each["label"]}</span><dl class="regions">{bars}</dl>'
        f'<span class="path">{escape(each["path"])}</span></div></li>\n'
    )
