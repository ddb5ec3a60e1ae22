"""The backbone: four sources, one shape on disk, and one clear line for whatever is no plain ViT."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rffd import backbone
from rffd.backbone import BackboneParams, describe, make_backbone
from rffd.errors import RffdError
from tests.hub_server import Fault, HubServer, Repository
from tests.shared import vit_tiny

ROOT = Path(__file__).resolve().parents[1]
REVISION = "b4569560a39a0f1af58e3ddaf17facf20ab919b0"
SMALL = BackboneParams(
    source="scratch",
    path="unused",
    repo="someone/vit",
    revision=None,
    seed=1,
    image_size=32,
    patch_size=8,
    hidden_size=12,
    layers=2,
    heads=3,
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as `transformers` writes them: `bare` has the in21k checkpoint's shape, `headed` a 1000-class head."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 24}
    config = {**sizes, "image_size": 32, "patch_size": 8}
    root = tmp_path_factory.mktemp("checkpoints")
    ViTModel(ViTConfig(**config), add_pooling_layer=True).save_pretrained(root / "bare")
    old = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 32}
    (root / "bare/preprocessor_config.json").write_text(json.dumps(old))
    (root / "bare/pytorch_model.bin").write_bytes(b"a pickle that nobody may open")
    ViTForImageClassification(ViTConfig(**config, num_labels=1000)).save_pretrained(root / "headed")
    new = {**old, "image_mean": [0.4, 0.5, 0.6], "size": {"height": 32, "width": 32}}
    (root / "headed/preprocessor_config.json").write_text(json.dumps(new))
    return {"bare": root / "bare", "headed": root / "headed"}


def make(tmp_path: Path, source: Path) -> Path:
    make_backbone(replace(SMALL, source="folder", path=str(source)), tmp_path / "backbone")
    return tmp_path / "backbone"


@pytest.mark.parametrize("kind", ["bare", "headed"])
def test_whatever_the_checkpoint_the_shape_is_the_same(checkpoints: dict[str, Path], tmp_path: Path, kind: str) -> None:
    import torch
    from transformers import ViTForImageClassification, ViTImageProcessorPil, ViTModel

    folder = make(tmp_path, checkpoints[kind])
    assert sorted(path.name for path in folder.iterdir()) == sorted(backbone.FILES)
    model, report = ViTForImageClassification.from_pretrained(folder, num_labels=2, output_loading_info=True)
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.dtype == torch.float32
    original = ViTModel.from_pretrained(checkpoints[kind])
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.eval().vit(pixels).last_hidden_state, original.eval()(pixels).last_hidden_state)
    processor = ViTImageProcessorPil.from_pretrained(folder)
    assert dict(processor.size) == {"height": 32, "width": 32}
    assert list(processor.image_mean) == ([0.5] * 3 if kind == "bare" else [0.4, 0.5, 0.6])


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_read_as_float32(checkpoints: dict[str, Path], tmp_path: Path, precision: str) -> None:
    import torch
    from safetensors import torch as safetensors_torch

    source = shutil.copytree(checkpoints["bare"], tmp_path / "half")
    weights = safetensors_torch.load_file(source / "model.safetensors")
    half = {name: value.to(getattr(torch, precision)) for name, value in weights.items()}
    safetensors_torch.save_file(half, source / "model.safetensors")
    written = load_file(make(tmp_path, source) / "model.safetensors")
    name = "encoder.layer.1.attention.attention.query.weight"
    assert written[f"vit.{name}"].dtype == np.float32
    assert np.array_equal(written[f"vit.{name}"], half[name].float().numpy())


def test_the_real_checkpoint(tmp_path: Path) -> None:
    figures = make_backbone(replace(SMALL, source="folder", path=str(vit_tiny())), tmp_path / "backbone")
    assert figures == {
        "vit_million_parameters": 5.524,
        "vit_layers": 12,
        "vit_hidden_size": 192,
        "vit_heads": 3,
        "vit_patch_size": 16,
        "vit_image_size": 224,
        "vit_tokens": 197,
    }
    assert len(describe(figures).splitlines()) == 5


def test_scratch_is_seeded_and_healthy(tmp_path: Path) -> None:
    import torch
    from transformers import ViTForImageClassification

    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        figures = make_backbone(replace(SMALL, seed=seed), tmp_path / name)
        hashes.append([hashlib.sha256((tmp_path / name / file).read_bytes()).hexdigest() for file in backbone.FILES])
    assert hashes[0] == hashes[1] and hashes[0][2] != hashes[2][2]
    model = ViTForImageClassification.from_pretrained(tmp_path / "a", num_labels=2)
    assert round(sum(p.numel() for p in model.vit.parameters()) / 1e6, 3) == figures["vit_million_parameters"]
    fresh = ViTForImageClassification(model.config)
    for (name, ours), theirs in zip(model.vit.named_parameters(), fresh.vit.parameters(), strict=True):
        if theirs.numel() > 500:
            assert torch.isclose(ours.std(), theirs.std(), rtol=0.2), name


BAD = {
    "no such folder": lambda f: shutil.rmtree(f),
    "config.json is missing": lambda f: (f / "config.json").unlink(),
    "preprocessor_config.json is missing": lambda f: (f / "preprocessor_config.json").unlink(),
    "pytorch_model.bin won't do": lambda f: (f / "model.safetensors").unlink(),
    "config.json: not valid JSON": lambda f: (f / "config.json").write_text("{"),
    "a model of type 'dinov2'": lambda f: edit(f / "config.json", model_type="dinov2"),
    "hidden_size is 'wide'": lambda f: edit(f / "config.json", hidden_size="wide"),
    "sizes don't fit": lambda f: edit(f / "config.json", image_size=33),
    "cls_token is F32 [1, 1, 12], not [1, 1, 18]": lambda f: edit(f / "config.json", hidden_size=18),
    "encoder.layer.2.attention.attention.query.weight is missing": lambda f: edit(
        f / "config.json", num_hidden_layers=3
    ),
    "has no place in a plain ViT": lambda f: edit(f / "config.json", num_hidden_layers=1),
    "image_mean is 0.5": lambda f: edit(f / "preprocessor_config.json", image_mean=0.5),
    "damaged, or not a safetensors file": lambda f: cut(f / "model.safetensors", 1000),
    "not a safetensors file": lambda f: (f / "model.safetensors").write_bytes(b"<html>not found</html>"),
    "holds NaN": lambda f: poison(f / "model.safetensors"),
}


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:-size])


def poison(path: Path) -> None:
    tensors = load_file(path)
    tensors["layernorm.bias"][3] = np.nan
    save_file(tensors, path)


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_plain_vit_gets_one_clear_line(checkpoints: dict[str, Path], tmp_path: Path, line: str) -> None:
    source = shutil.copytree(checkpoints["bare"], tmp_path / "source")
    BAD[line](source)
    with pytest.raises(RffdError) as caught:
        make(tmp_path, source)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "backbone").exists() and len(list(tmp_path.iterdir())) <= 1, "half a backbone was left"


def test_embedded_copies_the_folder_or_says_that_there_is_none(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "EMBEDDED", tmp_path / "absent")
    with pytest.raises(RffdError, match=r"carries no backbone of its own; set backbone.source"):
        make_backbone(replace(SMALL, source="embedded"), tmp_path / "backbone")
    monkeypatch.setattr(backbone, "EMBEDDED", checkpoints["headed"])
    assert make_backbone(replace(SMALL, source="embedded"), tmp_path / "backbone")["vit_hidden_size"] == 12


@pytest.mark.parametrize("revision", [None, "main", "v1.0", REVISION[:7]])
def test_a_revision_that_can_move_is_refused(revision: str | None) -> None:
    with pytest.raises(RffdError, match=r"'backbone.revision' is .*; it must be a full commit hash of someone/vit"):
        replace(SMALL, source="hub", revision=revision)


@pytest.mark.parametrize("change", [{"image_size": 30}, {"hidden_size": 13}, {"layers": 0}, {"seed": -1}])
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(RffdError, match=rf"'backbone.{next(iter(change))}' is"):
        replace(SMALL, **change)


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub as a download needs, over one folder; `asked` lists the paths that were requested."""

    folder: Path
    asked: list[str]
    token = "a-secret"

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        self.asked.append(self.path)
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            return self.answer(
                401, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, body
            )
        name = self.path.rsplit("/", 1)[-1]
        files = sorted(path.name for path in self.folder.iterdir())
        if self.path.startswith(f"/api/models/someone/vit/revision/{REVISION}"):
            info = {"id": "someone/vit", "sha": REVISION, "siblings": [{"rfilename": file} for file in files]}
            return self.answer(200, json.dumps(info).encode(), {}, body)
        if self.path.startswith(f"/api/models/someone/vit/tree/{REVISION}"):
            tree = [
                {"type": "file", "path": f, "oid": "0" * 40, "size": (self.folder / f).stat().st_size} for f in files
            ]
            return self.answer(200, json.dumps(tree).encode(), {}, body)
        if self.path == f"/someone/vit/resolve/{REVISION}/{name}" and name in files:
            data = (self.folder / name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": REVISION}
            return self.answer(200, data, headers, body)
        return self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)

    def answer(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def run_hub(tmp_path: Path, endpoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The stage itself, in a process of its own (the endpoint is read at import), from a folder with its params."""
    text = (ROOT / "params.yaml").read_text()
    section = text[text.index("\nbackbone:") :].split("\n\n")[0]
    section = section.replace("source: scratch", "source: hub").replace("source: embedded", "source: hub")
    section = section.replace("revision: null", f"revision: {REVISION}")
    lines = ["  repo: someone/vit" if line.startswith("  repo:") else line for line in section.splitlines()]
    (tmp_path / "params.yaml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "stages.backbone", "--backbone", "models/backbone", "--metrics", "backbone.json"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    clean |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    clean |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", **environment}
    return subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120)


def test_hub_downloads_the_pinned_safetensors_and_never_a_pickle(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    handler = type("Handler", (Hub,), {"folder": checkpoints["bare"], "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        refused = run_hub(tmp_path, endpoint)
        assert refused.returncode == 1 and "set HF_TOKEN" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr and not (tmp_path / "models/backbone").exists()
        done = run_hub(tmp_path, endpoint, HF_TOKEN=Hub.token)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "backbone.json").read_text())["vit_hidden_size"] == 12
    assert "a token of 12 numbers" in done.stdout
    assert not any("pytorch_model.bin" in path for path in handler.asked if "/resolve/" in path)
    assert Hub.token not in done.stdout + done.stderr + refused.stderr
    weights = load_file(tmp_path / "models/backbone/model.safetensors")
    original = load_file(checkpoints["bare"] / "model.safetensors")
    assert np.array_equal(weights["vit.layernorm.weight"], original["layernorm.weight"])
    again = run_hub(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, "the downloaded revision serves without a network: " + again.stderr


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = run_hub(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: backbone someone/vit at b4569560 can't be had from the Hub")
    assert "HF_TOKEN" in last and "HF_ENDPOINT" in last and "backbone.path" in last


def test_a_hub_in_trouble_is_one_line_and_one_that_asks_for_patience_gets_it(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    files = {file.name: file.read_bytes() for file in checkpoints["bare"].iterdir()}
    secret = {"HF_TOKEN": "hf_read_secret"}
    with HubServer() as hub:
        hub.repositories["someone/vit"] = Repository(private=True, commits=[(REVISION, files, "all")])
        hub.faults = [Fault("GET", "/resolve/.*safetensors", times=99, status=503)]
        refused = run_hub(tmp_path, hub.url, **secret)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        last = refused.stderr.strip().splitlines()[-1]
        assert last.startswith("error: backbone someone/vit at b4569560 can't be had from the Hub") and "503" in last
        assert len(hub.requests) < 20 and not (tmp_path / "models/backbone").exists()
        hub.faults = [Fault("GET", "/resolve/.*safetensors", status=429)]
        done = run_hub(tmp_path, hub.url, **secret)
        assert done.returncode == 0, done.stderr
        assert not hub.faults[0].times, "the download didn't meet the fault"
    weights = load_file(tmp_path / "models/backbone/model.safetensors")
    original = load_file(checkpoints["bare"] / "model.safetensors")
    assert np.array_equal(weights["vit.layernorm.weight"], original["layernorm.weight"])
    assert "hf_read_secret" not in refused.stdout + refused.stderr + done.stdout + done.stderr
