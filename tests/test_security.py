"""What files from elsewhere can't do: run code, leave their folder, or fill the memory. Held by the syntax trees.

Behaviour has tests of its own: archives in tests/test_sources.py, images in tests/test_images.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline_code import ROOT

SOURCES = sorted([*ROOT.glob("rffd/**/*.py"), *ROOT.glob("stages/*.py"), *ROOT.glob("benchmarks/*.py")])
PICKLES = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
# Who opens images other than by `rffd.images.read_image`, which bounds their pixels: these read a header and decode
# nothing, or open what the pipeline itself has just written.
OPENS = {
    "rffd/images.py": "the one place that decodes what a user gives",
    "rffd/cataloguing.py": "the header alone",
    "rffd/preprocessing.py": "its own JPEG, encoded a line before",
    "rffd/preparing.py": "masks that `pair` wrote",
    "rffd/exploration.py": "likewise",
    "rffd/exploration_sheets.py": "likewise",
    "rffd/report_html.py": "pictures that stages wrote",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each call in a file with the dotted name that it calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str | None:
    """A keyword argument as written, or None."""
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def complaints(path: Path) -> list[str]:
    """What a file does that could run code out of data."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"imports {name}" for name in names if name.split(".")[0] in PICKLES]
    for name, call in calls(path):
        last = name.rpartition(".")[2]
        if name == "torch.load" and keyword(call, "weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if name in ("np.load", "numpy.load", "read_array") and keyword(call, "allow_pickle") not in (None, "False"):
            found.append("np.load with pickles")
        if name in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"):
            found.append(name)
        if last in ("load_state", "register_for_checkpointing"):
            found.append(f"{last}: Accelerate reads these as pickles")
        if last == "extractall":
            found.append("extractall: members are opened one by one, and checked")
        if keyword(call, "shell") == "True":
            found.append("a shell")
        if keyword(call, "trust_remote_code") not in (None, "False"):
            found.append("code from the Hub")
        if last == "from_pretrained" and name.split(".")[0].startswith("ViTFor") and path.is_relative_to(ROOT / "rffd"):
            found += (
                [] if keyword(call, "use_safetensors") == "True" else ["from_pretrained without use_safetensors=True"]
            )
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_can_run_code(path):
    assert complaints(path) == []


def test_what_is_forbidden_is_found(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import pickle\nfrom joblib import load\ntorch.load(f)\ntorch.load(f, weights_only=False)\n"
        "np.load(f, allow_pickle=True)\naccelerator.load_state(f)\narchive.extractall(f)\nrun(f, shell=True)\n"
    )
    assert len(complaints(bad)) == 8
    bad.write_text("torch.load(f, weights_only=True)\nnp.load(f)\nmodel.eval()\n")
    assert complaints(bad) == []


def test_pictures_are_decoded_where_their_pixels_are_bounded():
    opening = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for name, _ in calls(path)
        if name in ("Image.open", "PIL.Image.open", "cv2.imread", "cv2.imdecode") and path.is_relative_to(ROOT / "rffd")
    }
    assert opening <= set(OPENS), "read it by rffd.images.read_image"
    unbounded = [path.name for path in SOURCES if "MAX_IMAGE_PIXELS = None" in path.read_text(encoding="utf-8")]
    assert not unbounded


def test_embedded_weights_are_safetensors():
    assert not [
        path.name
        for path in (ROOT / "rffd").rglob("*")
        if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".npy", ".h5")
    ]
