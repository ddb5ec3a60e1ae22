import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rffd import look


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_a_figure_is_saved_the_same_to_the_byte_and_says_nothing_of_time_or_version(tmp_path):
    for name in ("a.png", "b.png"):
        fig, axes = look.figure(1, 2)
        axes[0].bar(["real", "fake"], [3, 2], color=[look.COLOURS["real"], look.COLOURS["fake"]])
        look.save(fig, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1200, 480)
        assert not {"Software", "Creation Time", "date"} & set(image.info)
        assert rgb(look.FAKE) in {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    class Broken:
        def save(self, *_, **__):
            raise OSError("disk full")

    with pytest.raises(OSError):
        look.save_image(Broken(), path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_sheet_places_pictures_row_by_row_with_their_class_bar():
    tiles = [np.full((20, 20, 3), value, np.uint8) for value in (10, 80, 160)]
    colours = [look.REAL, look.FAKE, None]
    page = look.sheet(
        tiles, ["one", "two", "a caption far too long for so small a picture"], 2, size=40, colours=colours
    )
    pixels = np.asarray(page)
    left, top, step_x, step_y = 16, 16, 48, 40 + 4 + 18 + 8
    for i, value in enumerate((10, 80, 160)):
        x, y = left + step_x * (i % 2), top + step_y * (i // 2)
        assert (pixels[y : y + 40, x : x + 40] == value).all()
    assert tuple(pixels[top + 41, left]) == rgb(look.REAL)
    assert tuple(pixels[top + 41, left + step_x]) == rgb(look.FAKE)
    assert (pixels[top + step_y :, left + step_x - 6 :] == 255).all(), "text or picture outside its tile"


def test_a_wide_picture_keeps_its_proportions():
    square = np.asarray(look.fitted(Image.new("RGB", (200, 100), (255, 0, 0)), 50))
    assert (square[13:37, :, 0] == 255).all() and tuple(square[0, 0]) == rgb(look.GRID)


def test_an_empty_sheet_is_a_picture_too():
    assert look.sheet([], columns=3, title="none").size[0] > 0


def test_torch_is_not_imported():
    code = "import sys, rffd.look; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
