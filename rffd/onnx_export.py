"""The detector as one ONNX file, for start-up without torch, for browsers and for other languages.

Input `pixel_values` [B, 3, S, S] float32, normalised; outputs `logits` [B, 2] (real, fake), `regions` [B, 4]
and `patches` [B, h, w], both as probabilities of having been replaced.
"""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from rffd.attention import PLAIN
from rffd.errors import RffdError
from rffd.files import replacing
from rffd.inference import infer, to_pixels
from rffd.model import Detector
from rffd.verdict import fake_probability

OPSET = 20  # the first with Gelu as one operator
OUTPUTS = ("logits", "regions", "patches")
TOLERANCE = 1e-4  # of any probability; float32 sums in another order differ by about 1e-6


class _Graph(nn.Module):
    """What the file computes: tensors in, tensors out, region scores as probabilities."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 3, S, S] to the three of `OUTPUTS`."""
        outputs = self.detector(pixel_values)
        return outputs.logits, outputs.regions.sigmoid(), outputs.patches.sigmoid()


def export_onnx(detector: Detector, path: Path) -> None:
    """Write `detector` to `path`, weights inside; the same detector gives the same bytes.

    Leaves the detector in eval mode, on the CPU, with its own kind of attention.
    """
    detector.eval().cpu()
    kind = detector.vit.config._attn_implementation
    detector.vit.set_attn_implementation(PLAIN)  # the others' graphs add a mask, which a ViT has not
    pixels = torch.zeros(2, 3, detector.image_size, detector.image_size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Graph(detector),
                (pixels,),
                input_names=["pixel_values"],
                output_names=list(OUTPUTS),
                dynamic_shapes={"pixel_values": {0: torch.export.Dim("batch", min=1)}},
                opset_version=OPSET,
                verbose=False,
            )
    finally:
        detector.vit.set_attn_implementation(kind)
    assert program is not None, "without `f` the exporter returns it"
    model = program.model_proto
    _without_traces(model)
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _without_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: they hold paths of this machine and would change the bytes from one to the next."""
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    for weight in model.graph.initializer:
        weight.doc_string = ""
        del weight.metadata_props[:]


def parity(detector: Detector, path: Path, images: np.ndarray, batch_size: int = 32) -> float:
    """The largest difference between torch and ONNX Runtime on `images` [N, S, S, 3] uint8, over the
    probability of fake and all region and patch probabilities; more than `TOLERANCE` is an error."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        logits, regions, patches = session.run(list(OUTPUTS), {"pixel_values": to_pixels(batch, detector).numpy()})
        expected = infer(detector, batch, batch_size)
        for ours, theirs in (
            (fake_probability(logits), fake_probability(expected.logits)),
            (regions, expected.regions),
            (patches, expected.patches),
        ):
            largest = max(largest, float(np.abs(ours - theirs).max()))
    if not largest <= TOLERANCE:
        raise RffdError(f"{path}: ONNX Runtime and torch differ by {largest:.1e} on test images, over {TOLERANCE:.0e}")
    return largest
