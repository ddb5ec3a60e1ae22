"""The embedded backbone: its scenes, its pre-training, and the weights in the repository."""

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rffd import pretrain as module
from rffd.backbone import EMBEDDED, BackboneParams, make_backbone
from rffd.embedding import write_embedded
from rffd.files import sha256
from rffd.foreign import draw_pair, other_traits
from rffd.model import new_detector
from rffd.preprocessing import PreprocessParams
from rffd.pretrain import main, pretrain
from rffd.pretraining import Pretraining, PretrainParams, zones
from rffd.scenes import TRAITS
from rffd.stream import draw_pairs, rounds_of_pairs
from tests.pipeline_code import ROOT, reached

TINY = PretrainParams(
    rounds=3, pairs=12, passes=2, batch_size=4, image_size=32, patch_size=8, hidden_size=16, layers=1, heads=2
)


def test_a_pair_is_a_function_of_seed_and_index() -> None:
    one, again = draw_pair(3, 7, 48), draw_pair(3, 7, 48)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    others = [draw_pair(3, 8, 48), draw_pair(4, 7, 48)]
    assert all(not np.array_equal(one.whole, other.whole) for other in others)
    assert one.whole.shape == (48, 48, 3) and one.whole.dtype == np.uint8


def test_a_pair_differs_by_its_foreign_piece_and_what_it_spills_alone() -> None:
    pairs = [draw_pair(5, i, 64) for i in range(60)]
    away = [cv2.distanceTransform((pair.mask == 0).astype(np.uint8), cv2.DIST_L2, 3) for pair in pairs]
    change = [np.abs(pair.patched.astype(int) - pair.whole).max(axis=2) for pair in pairs]
    assert all(pair.mask.any() and not np.array_equal(pair.own, pair.other) for pair in pairs)
    assert np.mean([c[pair.mask == 1].mean() for c, pair in zip(change, pairs, strict=True)]) > 8
    assert np.mean([c[a > 12].mean() for c, a in zip(change, away, strict=True)]) < 3
    assert 0.04 < np.mean([pair.mask.mean() for pair in pairs]) < 0.3
    assert 60 < np.mean([pair.whole.mean() for pair in pairs]) < 190


def test_other_traits_stay_uniform_so_that_none_of_them_tells() -> None:
    rng = np.random.default_rng(0)
    values = np.array([other_traits(rng.random(TRAITS, dtype=np.float32), rng, np.ones(TRAITS)) for _ in range(1000)])
    assert values.min() >= 0 and values.max() <= 1
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.std() - 12**-0.5) < 0.01


def test_rounds_are_drawn_ahead_in_their_order() -> None:
    rounds = list(rounds_of_pairs(1, 1, 4, 3, 32, 16))
    assert len(rounds) == 3
    for number, pairs in enumerate(rounds, start=1):
        for got, wanted in zip(pairs, draw_pairs(1, number * 3, 3, 32, 16), strict=True):
            assert np.array_equal(got, wanted)


def test_zones_are_left_right_top_and_bottom() -> None:
    masks = torch.zeros(5, 16, 16)
    masks[0, 6:10, :4] = masks[1, 6:10, 12:] = masks[2, :4, 6:10] = masks[3, 12:, 6:10] = 1
    assert torch.equal(zones(masks), torch.cat([torch.eye(4), torch.zeros(1, 4)]))
    assert torch.equal(zones(masks.flip(2)), zones(masks)[:, [1, 0, 2, 3]])


def test_killed_in_a_round_it_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_OUT", 12)
    whole = pretrain(TINY, tmp_path / "whole")
    run_round, calls = Pretraining.run_round, []

    def killed(self, pairs):
        loss = run_round(self, pairs)
        calls.append(len(self.history))
        if len(calls) == 2:
            raise KeyboardInterrupt  # trained, but not saved
        return loss

    monkeypatch.setattr(Pretraining, "run_round", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, tmp_path / "killed")
    resumed = pretrain(TINY, tmp_path / "killed")
    assert calls == [0, 1, 1, 2], "a saved round was done twice, or an unsaved one was passed over"
    assert resumed.history == whole.history and {"auc", "patch_auc"} <= set(whole.history[-1])
    for name, run in (("a", whole), ("b", resumed)):
        write_embedded(run.detector, tmp_path / name, dataclasses.asdict(TINY), run.history[-1])
    for file in ("model.safetensors", "config.json", "preprocessor_config.json", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_impossible_arguments_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"error: .*--pairs.* 0; it must be 1 or more"):
        main(["--pairs", "0"])
    with pytest.raises(SystemExit, match=r"backbone.image_size|--image-size"):
        main(["--image-size", "63"])


def test_pretraining_has_nothing_of_the_sample() -> None:
    files = reached(ROOT / "rffd" / "pretrain.py")
    assert {"rffd/foreign.py", "rffd/scenes.py", "rffd/losses.py"} <= files
    assert not files & {"rffd/portrait.py", "rffd/sample.py", "rffd/sources.py", "rffd/defects.py"}


def test_the_embedded_weights_are_those_of_their_card_and_load_in_full_precision(tmp_path: Path) -> None:
    weights, card = EMBEDDED / "model.safetensors", (EMBEDDED / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"`([0-9a-f]{64})`", card) == [sha256(weights)]
    assert weights.stat().st_size <= 4_000_000
    params = BackboneParams(
        source="embedded", path="", repo="", revision=None, seed=0, image_size=64, patch_size=8, hidden_size=8,
        layers=1, heads=1,
    )  # fmt: skip
    told = make_backbone(params, tmp_path / "backbone")
    detector = new_detector(tmp_path / "backbone", PreprocessParams(image_size=72, jpeg_quality=None, face_margin=None))
    assert detector.image_size == told["vit_image_size"]
    assert all(value.dtype == torch.float32 for value in detector.state_dict().values())
    seen = detector(torch.rand(2, 3, detector.image_size, detector.image_size)).tokens
    assert seen.isfinite().all() and not torch.allclose(seen[0], seen[1], atol=0.1), "the weights tell nothing apart"
