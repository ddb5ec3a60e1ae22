"""The report: self-contained, well formed, accessible, and honest about what wasn't measured."""

import base64
import copy
import io
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from rffd.files import write_csv, write_json
from rffd.names import REGIONS
from rffd.report import SECTIONS, render
from rffd.report_findings import read_findings
from rffd.report_html import LIGHTEST, WIDEST, image, interval_bar, lines, number, picture, spread, table
from tests import browser

VOID = {"meta", "img", "br", "link", "input", "hr"}
NUMBERS = {"accuracy": 0.8123, "f1": 0.79, "recall": 0.75, "specificity": 0.87, "auc": 0.88, "ece": 0.04}


class Page(HTMLParser):
    """Tags in order, with a check that every one that is opened is closed in its place."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def figures(**others):
    found = {**NUMBERS, **others}
    return found | {
        f"{name}_ci95": None if value is None else [value - 0.05, value + 0.05] for name, value in found.items()
    }


def evaluated() -> dict:
    split = {
        "count": 300,
        "figures": figures(log_loss=0.5),
        "before_calibration": figures(log_loss=0.6),
        "at_threshold": figures(),
        "answered": {"count": 100, "coverage": 0.4, "error": 0.05, "error_ci95": [0.01, 0.1]},
    }
    return {
        "temperature": 1.4,
        "offset": 0.3,
        "unsure_band": {"low": 0.3, "high": 0.7, "reached": True, "target_error": 0.05},
        "threshold": {"value": 0.61, "rule": "the lowest at which few are called fake"},
        "val": copy.deepcopy(split),
        "test": copy.deepcopy(split),
        "targets": {
            "accuracy": {"target": 0.8, "test": 0.8123, "met": True},
            "f1": {"target": 0.8, "test": 0.79, "met": False},
        },
        "breakdown": [
            {"by": "difficulty", "value": "hard", "label": "fake", "count": 9, "right": 0.4, "right_ci95": [0.1, 0.7]}
        ],
        "controls": {
            "model": figures(count=300),
            "face_blanked": figures(auc=0.51) | {"count": 300, "at_chance": True},
            "file_header_only": figures(auc=0.7) | {"count": 300, "auc_ci95": [0.65, 0.75]},
            "flips": {"mirrored": {"count": 300, "share": 0.1, "share_ci95": [0.05, 0.15], "mean_change": 0.02}},
        },
        "robustness": [
            {"kind": "none", "level": None, **figures(flips=0.0)},
            {"kind": "jpeg", "level": 70.0, **figures(flips=0.1)},
        ],
    }


def explained() -> dict:
    region = {"count": 3, "pointing": 0.5, "pointing_ci95": [0.2, 0.8], "chance": 0.1}
    one = {
        "pixel_auc": 0.9,
        "pixel_auc_ci95": [0.8, 0.95],
        "iou": 0.3,
        "iou_ci95": None,
        "pointing": 0.6,
        "pointing_ci95": None,
    }
    one |= {"by_region": dict.fromkeys(REGIONS, region), "pointing_chance": 0.1}
    control = {"region_auc": 0.5, "region_auc_ci95": [0.4, 0.6], "fails": True}
    one |= {"region_auc": 0.7, "region_auc_ci95": [0.6, 0.8]}
    scores = {"replaced": 9, "share": 0.2, "average_precision": 0.6, "average_precision_ci95": [0.4, 0.8], "f1": 0.5}
    curve = {"deletion": [1, 0], "insertion": [0, 1], "deletion_area": 0.5, "insertion_area": 0.5}
    exhibit = {"picture": "one.png", "path": "fake/<b>&.jpg", "label": "fake", "probability": 0.2}
    exhibit |= {"regions": [0.9, 0.1, 0.1, 0.1], "replaced": [1, 0, 0, 0]}
    return {
        "shown": "patches",
        "counts": {"fakes": 90, "masks": 12, "validation_masks": 10},
        "maps": {"patches": one | {"control": control}, "fixed": one, "occlusion": one},
        "curves": {"images": 9, "patches": curve, "random order": curve},
        "regions": {"images": 300, "average_precision_mean": 0.6, "f1_mean": 0.5, **dict.fromkeys(REGIONS, scores)},
        "exhibits": {"examples": [exhibit], "false_positives": [], "false_negatives": [exhibit]},
    }


def nothing(value):
    """The same shape with every figure null."""
    if isinstance(value, dict):
        return {key: nothing(part) for key, part in value.items()}
    return None if isinstance(value, int | float | list) else value


@pytest.fixture
def written(tmp_path):
    """Everything the stage reads, small and made up; returns the folder."""
    metrics, plots, explanation = tmp_path / "metrics", tmp_path / "plots", tmp_path / "explanation"
    headline = figures()
    everything = {
        "catalog": {
            "images_real": 500,
            "images_fake": 450,
            "images_set_aside": 2,
            "images_shared": 20,
            "groups_shared": 9,
        },
        "explore": {},
        "split": {"split_train": 600, "split_val": 150, "split_test": 150, "split_train_fake": 300},
        "backbone": {"vit_million_parameters": 0.5, "vit_layers": 4, "vit_hidden_size": 96, "vit_heads": 3}
        | {"vit_patch_size": 8, "vit_image_size": 64, "vit_tokens": 65},
        "search": {"search_trials": 0, "values": {}},
        "train": {"best_epoch": 2, "best_val_auc": 0.9, "learning_rate": 2e-3},
        "evaluate": {"val": headline, "test": headline},
    }
    for name, content in everything.items():
        write_json(metrics / f"{name}.json", content)
    history = [
        {"epoch": e, "train_loss": 2 - e / 3, "val_log_loss": 0.6, "val_auc": 0.7, "val_f1": 0.6} for e in (1, 2, 3)
    ]
    write_csv(plots / "train" / "curves.csv", history, list(history[0]))
    for name in (
        "explore/sheet",
        "evaluate/controls",
        "evaluate/roc_pr",
        "explain/localisation",
        "search/pictures/history",
    ):
        (plots / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), "red").save(plots / f"{name}.png")
    explanation.mkdir()
    Image.new("RGB", (20, 10)).save(explanation / "one.png")
    write_json(tmp_path / "evaluation" / "details.json", evaluated())
    write_json(explanation / "details.json", explained())
    return tmp_path


def page(folder: Path, source: str = "kaggle") -> str:
    found = read_findings(folder / "metrics", folder / "plots", folder / "evaluation", folder / "explanation", source)
    return render(found)


def test_nothing_is_loaded_from_outside(written):
    text = page(written)
    for tag, attributes in Page(text).tags:
        assert tag not in ("script", "link", "iframe", "object", "base"), tag
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            assert attributes.get(name, "data:").startswith("data:"), attributes
        if "href" in attributes:
            assert attributes["href"].startswith("#")
    assert not re.search(r"url\(|@import|@font-face|https?://", text)


def test_pictures_are_inside_and_named(written):
    found = [attributes for tag, attributes in Page(page(written)).tags if tag == "img"]
    assert len(found) == 5 + 2  # the pictures, and two exhibits
    for attributes in found:
        kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", attributes["src"]).groups()
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        assert opened.format.lower() == kind
        assert (str(opened.width), str(opened.height)) == (attributes["width"], attributes["height"])
        assert len(attributes["alt"]) > 10


def test_headings_go_down_one_at_a_time_and_contents_lead_to_them(written):
    parsed = Page(page(written))
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    names = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    links = [attributes["href"][1:] for tag, attributes in parsed.tags if tag == "a"]
    assert links == sorted(names, key=lambda name: int(name[1:])) and len(links) == len(SECTIONS)
    assert ("html", {"lang": "en"}) in parsed.tags


def test_headline_targets_and_verdicts_are_told(written):
    text = Page(page(written)).text
    assert "right on 81 %" in text and "95 % interval 0.762 to 0.862" in text
    assert "target 0.80 met" in text and "target 0.80 not met" in text
    assert "chance, as it should be" in text
    assert "tell something, which a model could use" in text
    assert "0.50, worse" in text and "more than the usual places" in text


def test_names_of_files_are_escaped(written):
    text = page(written)
    assert "fake/<b>" not in text and "fake/&lt;b&gt;&amp;.jpg" in text


@pytest.mark.parametrize(
    ("source", "said", "unsaid"),
    [
        ("sample", "They are the project's own", "CC BY-NC-SA"),
        ("kaggle", "CC BY-NC-SA 4.0", "drawn by the project"),
        ("folder", "their licence is their owner's", "drawn by the project"),
    ],
)
def test_the_licence_follows_the_source(written, source, said, unsaid):
    text = Page(page(written, source)).text
    assert said in text and unsaid not in text


def test_what_is_null_is_said_in_words(written):
    for folder, content in (("evaluation", evaluated()), ("explanation", explained())):
        content = nothing(content)
        if folder == "explanation":
            content["exhibits"] = {"examples": [], "false_positives": [], "false_negatives": []}
            content["curves"] = None
        content.setdefault("controls", None)
        write_json(written / folder / "details.json", content)
    write_json(written / "metrics" / "evaluate.json", {"val": {}, "test": {}})
    text = Page(page(written)).text
    assert "not defined" in text and "there was none" in text and "None." in text
    assert not re.search(r"\bNone\b(?!\.)|\bnan\b", text)


def test_files_without_details_still_give_a_page(written):
    write_json(written / "evaluation" / "details.json", {})
    write_json(written / "explanation" / "details.json", {})
    for name in ("catalog", "split", "backbone", "search", "train"):
        write_json(written / "metrics" / f"{name}.json", {})
    write_csv(written / "plots" / "train" / "curves.csv", [], ["epoch", "train_loss"])
    for picture_ in (written / "plots").rglob("*.png"):
        picture_.unlink()
    text = Page(page(written)).text
    assert "not defined" in text and "No search was made" in text


def test_the_same_files_give_the_same_page(written):
    assert page(written) == page(written)


# Contrast of each visible text with what lies behind it (WCAG 2.2, 1.4.3), as [ratio, words].
CONTRASTS = """(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => channels(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor, alpha = channels(colour)[3];
      if (alpha === undefined || alpha > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
    .map(node => {
      const [a, b] = [getComputedStyle(node).color, behind(node)].map(light).sort((x, y) => y - x);
      return [(a + .05) / (b + .05), node.textContent.trim().slice(0, 40)];
    });
})()"""


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(browser.program() is None, reason="needs a browser: apt-get install chromium")
def test_a_browser_shows_it_narrow_and_wide_light_and_dark(written):
    path = written / "report.html"
    path.write_text(page(written), encoding="utf-8")
    with browser.Browser() as opened:
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            opened.send("Emulation.setEmulatedMedia", features=features)
            opened.open(path.as_uri(), width=1280, height=900)
            opened.wait("document.readyState === 'complete' && document.querySelector('footer')")
            opened.run("document.querySelectorAll('details').forEach(each => each.open = true)")
            for width in (1280, 360):
                opened.resize(width, 800)
                assert opened.run("innerWidth") == width
                assert opened.run("document.documentElement.scrollWidth") <= width
            faint = [found for found in opened.run(CONTRASTS) if found[0] < 4.5]
            assert not faint, (scheme, faint)
        assert opened.run("[...document.images].every(each => each.naturalWidth > 0)")
        assert (
            opened.run("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
        )


def test_heavy_pictures_are_made_lighter(tmp_path):
    noise = Image.effect_noise((2000, 1000), 90).convert("RGB")
    noise.save(tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size > LIGHTEST
    tag = image(tmp_path / "noise.png", "noise")
    assert "data:image/jpeg" in tag and f'width="{WIDEST}" height="600"' in tag
    assert picture(tmp_path / "absent.png", "absent") == ""


def test_building_blocks():
    assert number(None) == "–" and number(1234) == "1,234" and number(0.5) == "0.500"
    assert spread({"f1": 0.5, "f1_ci95": [0.4, 0.6]}, "f1", 2) == "0.50 (0.40–0.60)"
    assert spread({"f1": 0.5, "f1_ci95": None}, "f1", 2) == "0.50" and spread({}, "f1") == "not defined"
    assert "left:40.0%;width:20.0%" in interval_bar(0.5, [0.4, 0.6]) and interval_bar(None, None) == ""
    assert table(["a"], [], "empty") == "" and "&lt;i&gt;" in table(["a"], [["<i>"]], "one")
    drawn = lines({"a": [1.0, 0.0, 0.5]}, 2, "a curve")
    assert 'points="0.00,0.00 50.00,100.00 100.00,50.00"' in drawn and 'x1="50.00"' in drawn
    lines({"a": [1.0]}, 1, "one epoch")


def test_the_stage_needs_no_torch():
    code = "import sys, stages.report; print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    root = Path(__file__).resolve().parents[1]
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert shown.stdout.strip() == "[]"
