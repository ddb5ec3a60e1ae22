"""The detector: a plain ViT that loads anywhere, at any input size, with its heads in a file of their own."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import ViTForImageClassification

from rffd.errors import RffdError
from rffd.inference import infer
from rffd.model import load_detector, new_detector, save_detector
from rffd.preprocessing import PreprocessParams
from tests.toys import toy_backbone

CONTRACT = PreprocessParams(image_size=48, jpeg_quality=None, face_margin=None)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return toy_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.mark.parametrize("size", [32, 48, 24])
def test_any_size_is_saved_once_and_for_all(backbone, tmp_path, size):
    torch.manual_seed(1)
    detector = new_detector(backbone, CONTRACT, image_size=size).eval()
    torch.nn.init.normal_(detector.vit.classifier.weight)
    torch.nn.init.normal_(detector.heads.regions.weight)
    save_detector(detector, tmp_path)
    plain = ViTForImageClassification.from_pretrained(tmp_path).eval()  # no code of ours, no interpolation asked for
    assert plain.config.image_size == size
    pixels = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(plain(pixels).logits, detector(pixels).logits)
    assert not any(name.startswith("heads") for name in load_file(tmp_path / "model.safetensors"))
    assert set(load_file(tmp_path / "heads.safetensors")) == {
        f"{head}.{part}" for head in ("regions", "patches") for part in ("weight", "bias")
    }
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    before, after = infer(detector, images), infer(load_detector(tmp_path), images)
    assert np.array_equal(before.logits, after.logits) and np.array_equal(before.regions, after.regions)


def test_interpolated_positions_keep_their_place(backbone):
    small = new_detector(backbone, CONTRACT).vit.vit.embeddings
    grid = torch.linspace(0, 1, 4)[:, None, None].expand(4, 4, 24)  # a slope from top to bottom
    small.position_embeddings.data[:, 1:] = grid.reshape(1, 16, 24)
    from rffd.model import resize_positions

    detector = new_detector(backbone, CONTRACT)
    detector.vit.vit.embeddings.position_embeddings.data.copy_(small.position_embeddings.data)
    resize_positions(detector.vit, 64)
    larger = detector.vit.vit.embeddings.position_embeddings.data
    assert larger.shape == (1, 65, 24)
    assert torch.equal(larger[:, 0], small.position_embeddings.data[:, 0])
    slope = larger[0, 1:].reshape(8, 8, 24)
    assert torch.allclose(slope[:, 0], slope[:, 7], atol=1e-5), "nothing changes along a row"
    assert (slope[1:, 3, 0] > slope[:-1, 3, 0]).all(), "it rises from top to bottom"
    with pytest.raises(RffdError, match="multiple of the patch size, 8"):
        resize_positions(detector.vit, 65)
