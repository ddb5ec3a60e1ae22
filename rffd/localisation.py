"""Does a heat map find what was replaced? Measures of one picture at a time, and deletion and insertion curves.

Truth is the registered mask where there is one, else the average region of the replaced bits
(`rffd/regions.py`). Everything here is plain arrays: no model, no torch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from rffd.metrics import bootstrap, curves, interval, ratio, rounded
from rffd.names import REGIONS
from rffd.regions import prior_mask, region_masks
from rffd.store import Store

MAP_NAMES = {
    "patches": "patch head",
    "gradient": "gradient rollout",
    "rollout": "attention rollout",
    "attention": "last attention",
    "occlusion": "occlusion",
    "fixed": "same map for all",
}
SHARES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5)  # of the frame, tried for the IoU


def enlarge(heat: np.ndarray, size: int) -> np.ndarray:
    """A map [h, w] at [size, size], bilinear between the patches' centres, float32."""
    image = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def truth(store: Store, row: int) -> tuple[np.ndarray | None, bool]:
    """What was replaced in image `row`, [S, S] bool, and whether it is a registered mask; None if unknown."""
    if store.mask_rows[row] >= 0:
        mask = np.asarray(store.masks[store.mask_rows[row]]) > 127
        if mask.any():
            return mask, True
    bits = store.bits[row]
    if np.isnan(bits).any() or not bits.any():
        return None, False
    return prior_mask(tuple(int(b) for b in bits), store.image_size, store.contract.face_margin) > 0.5, False


def pixel_auc(heat: np.ndarray, mask: np.ndarray) -> float | None:
    """Chance that a replaced pixel is hotter than an untouched one (ties count half); None if there is one kind."""
    inside = mask.ravel()
    positives = int(inside.sum())
    negatives = inside.size - positives
    if not positives or not negatives:
        return None
    _, which, counts = np.unique(heat.ravel(), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]  # from 1; ties share their mean rank
    return float((ranks[inside].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def ious(heat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Intersection over union of the mask with the hottest pixels, for each share in `SHARES`: [len(SHARES)]."""
    hot = mask.ravel()[np.argsort(-heat.ravel(), kind="stable")].cumsum()  # replaced among the k hottest
    counts = np.maximum(1, np.round(np.array(SHARES) * heat.size)).astype(int)
    return hot[counts - 1] / (counts + hot[-1] - hot[counts - 1])


def points_inside(heat: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the hottest pixel (the first of equals) lies inside the mask (Zhang et al. 2016, "pointing game")."""
    return bool(mask.ravel()[int(heat.argmax())])


def orders(heats: np.ndarray) -> np.ndarray:
    """For maps [N, h, w] each patch's place in the order from hot to cold, [N, h, w] int, 0 = hottest."""
    flat = heats.reshape(len(heats), -1)
    places = np.empty(flat.shape, dtype=np.int64)
    np.put_along_axis(places, np.argsort(-flat, axis=1, kind="stable"), np.arange(flat.shape[1])[None], axis=1)
    return places.reshape(heats.shape)


def blurred(images: np.ndarray) -> np.ndarray:
    """[B, S, S, 3] uint8 so smooth that no forgery shows: Gaussian with a sigma of a tenth of the side."""
    smooth = ImageFilter.GaussianBlur(images.shape[1] / 10)
    return np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(image)).filter(smooth)) for image in images])


def curve(
    score: Callable[[np.ndarray], np.ndarray], images: np.ndarray, places: np.ndarray, steps: int, *, insert: bool
) -> np.ndarray:
    """Mean score as patches are blurred from hot to cold, or (`insert`) uncovered on a blurred picture, [steps + 1].

    `images` [N, S, S, 3] uint8, `places` [N, h, w] as `orders` gives them, `score` maps images to [N] floats.
    A map that finds what matters makes deletion fall fast and insertion rise fast (Petsiuk et al. 2018, RISE).
    """
    smooth = blurred(images)
    rows = np.arange(images.shape[1]) * places.shape[1] // images.shape[1]  # pixel row to patch row
    at_pixel = places[:, rows][:, :, rows]
    points = []
    for step in range(steps + 1):
        first = at_pixel < round(step / steps * places[0].size)
        points.append(score(np.where((first == insert)[..., None], images, smooth)).mean())
    return np.array(points)


def area_under(points: Sequence[float] | np.ndarray) -> float:
    """Area under a curve of evenly spaced points, the whole width being 1 (trapezoids)."""
    values = np.asarray(points, dtype=float)
    return float((values[:-1] + values[1:]).mean() / 2)


def region_heat(heat: np.ndarray, face_margin: float | None) -> np.ndarray:
    """Mean heat [S, S] in the four regions' average places, in standard deviations of the picture's own heat, [4]."""
    places = region_masks(heat.shape[0], face_margin) > 0.5
    deviation = float(heat.std())
    if deviation == 0:
        return np.zeros(len(places))
    return np.array([(heat[place].mean(dtype=float) - heat.mean(dtype=float)) / deviation for place in places])


def judged(store: Store, rows: list[int], heats: np.ndarray) -> Iterator[dict[str, Any]]:
    """For each row and its map: `pixel_auc` and `ious` (registered masks only), `regions` (see `region_heat`),
    `hit`, and `area`, its chance."""
    for i, heat in zip(rows, heats, strict=True):
        mask, registered = truth(store, i)
        assert mask is not None, "rows of `fakes`"
        large = enlarge(heat, store.image_size)
        yield {
            "row": i,
            "pixel_auc": pixel_auc(large, mask) if registered else None,
            "ious": ious(large, mask) if registered else None,
            "regions": region_heat(large, store.contract.face_margin),
            "hit": points_inside(large, mask),
            "area": float(mask.mean()),
        }


def region_auc(measured: list[dict[str, Any]], store: Store, weights: np.ndarray | None = None) -> np.ndarray:
    """Chance that a region is hotter in a fake in which it was replaced than in one in which it wasn't, [R, 4].

    One row a weighting [R, N] of the images; NaN for a region that is replaced in all or none. Each region is
    compared with itself: a map that is the same for every picture has 0.5, wherever forgeries usually lie.
    """
    bits = np.array([store.bits[m["row"]] for m in measured])
    heats = np.array([m["regions"] for m in measured])
    columns = []
    for k in range(len(REGIONS)):
        fpr, tpr, _ = curves(bits[:, k], heats[:, k], weights)
        columns.append((np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1))
    return np.stack(columns, axis=1)


def mean_region_auc(measured: list[dict[str, Any]], store: Store, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean of `region_auc` over the regions that have one, [R]; NaN without."""
    found = region_auc(measured, store, weights)
    return ratio(np.nansum(found, axis=1), np.isfinite(found).sum(axis=1))


def best_share(measured: list[dict[str, Any]]) -> float:
    """The share of the frame to call hot: the highest mean IoU on validation's masks, else the mean area replaced."""
    scored = [m["ious"] for m in measured if m["ious"] is not None]
    if scored:
        return SHARES[int(np.mean(scored, axis=0).argmax())]
    area = np.mean([m["area"] for m in measured]) if measured else 0.1
    return min(SHARES, key=lambda share: abs(share - area))


def mean_of(
    values: list[float], groups: list[str], resamples: int, seed: int
) -> tuple[float | None, list[float] | None]:
    """Mean over images and its 95 % bootstrap interval by group; None without images."""
    if not values:
        return None, None
    array = np.array(values, dtype=float)

    def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": ratio(weights @ array, weights.sum(axis=1))}

    spread = bootstrap(mean, groups, resamples=resamples, seed=seed)
    return rounded(array.mean()), interval(spread["mean"]) if spread else None


def summary(measured: list[dict[str, Any]], store: Store, share: float, *, resamples: int, seed: int) -> dict[str, Any]:
    """`pixel_auc`, `iou` (both on registered masks, of which there are `masks`), `pointing` and `region_auc` (on all
    `images`), with their intervals."""
    masked = [m for m in measured if m["ious"] is not None]
    parts = {
        "pixel_auc": [(m["row"], m["pixel_auc"]) for m in masked if m["pixel_auc"] is not None],
        "iou": [(m["row"], m["ious"][SHARES.index(share)]) for m in masked],
        "pointing": [(m["row"], m["hit"]) for m in measured],
    }
    result: dict[str, Any] = {"images": len(measured), "masks": len(masked)}
    for name, pairs in parts.items():
        groups = [store.groups[i] for i, _ in pairs]
        result[name], result[f"{name}_ci95"] = mean_of([float(value) for _, value in pairs], groups, resamples, seed)

    def by_region(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"region_auc": mean_region_auc(measured, store, weights)}

    return result | resampled(by_region, [store.groups[m["row"]] for m in measured], resamples, seed)


def resampled(function: Any, groups: list[str], resamples: int, seed: int) -> dict[str, Any]:
    """`function(weights)`'s figures with their intervals, `{"x": ..., "x_ci95": ...}`; nothing without images."""
    if not groups:
        return {}
    drawn = bootstrap(function, groups, resamples=resamples, seed=seed)
    result: dict[str, Any] = {}
    for name, value in function(None).items():
        result[name] = rounded(value[0])
        result[f"{name}_ci95"] = interval(drawn[name]) if drawn and np.isfinite(value[0]) else None
    return result


def pointing(measured: list[dict[str, Any]], store: Store, *, resamples: int, seed: int) -> dict[str, Any]:
    """Pointing by region (fakes in which it was replaced) and by number of regions; `chance` is the mean area."""
    strata = {name: [m for m in measured if store.bits[m["row"], k] == 1] for k, name in enumerate(REGIONS)}
    by_count = {str(n): [m for m in measured if store.bits[m["row"]].sum() == n] for n in range(1, 5)}
    result: dict[str, Any] = {"pointing_chance": rounded(np.mean([m["area"] for m in measured])) if measured else None}
    for key, parts in (("by_region", strata), ("by_number", by_count)):
        result[key] = {}
        for name, part in parts.items():
            hits, ends = mean_of(
                [float(m["hit"]) for m in part], [store.groups[m["row"]] for m in part], resamples, seed
            )
            chance = rounded(np.mean([m["area"] for m in part])) if part else None
            result[key][name] = {"count": len(part), "pointing": hits, "pointing_ci95": ends, "chance": chance}
    return result


def control(
    trained: list[dict[str, Any]], strangers: list[list[dict[str, Any]]], store: Store, *, resamples: int, seed: int
) -> dict[str, Any]:
    """`pixel_auc` and `region_auc` of models of shuffled weights (the mean of several), and the trained model's lead.

    `fails`, as a control must: the interval of the lead in `region_auc` lies above 0. None without images.
    """
    kept = [k for k, m in enumerate(trained) if m["pixel_auc"] is not None]
    groups = [store.groups[trained[k]["row"]] for k in kept]
    random = [float(np.mean([stranger[k]["pixel_auc"] for stranger in strangers])) for k in kept]
    lead = [trained[k]["pixel_auc"] - value for k, value in zip(kept, random, strict=True)]
    result: dict[str, Any] = {}
    for name, values in (("pixel_auc", random), ("pixel_auc_lead", lead)):
        result[name], result[f"{name}_ci95"] = mean_of(values, groups, resamples, seed)

    def by_region(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        value = np.mean([mean_region_auc(stranger, store, weights) for stranger in strangers], axis=0)
        return {"region_auc": value, "region_auc_lead": mean_region_auc(trained, store, weights) - value}

    result |= resampled(by_region, [store.groups[m["row"]] for m in trained], resamples, seed)
    ends = result.get("region_auc_lead_ci95")
    return result | {"fails": None if ends is None else ends[0] > 0}
