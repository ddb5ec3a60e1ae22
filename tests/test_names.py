"""The grammar of names: what fits it is read back exactly, what doesn't is left empty, nothing raises."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rffd.names import DIFFICULTIES, Name, label_of_folder, parse_name

bits = st.tuples(*[st.integers(0, 1)] * 4)
ids = st.integers(0, 10**6)


@settings(deadline=None)
@given(st.sampled_from(DIFFICULTIES), ids, bits, st.sampled_from([".jpg", ".JPG", ".png"]))
def test_a_fakes_name_is_read_back(difficulty, number, pattern, suffix):
    name = f"fake/{difficulty}_{number}_{''.join(map(str, pattern))}{suffix}"
    assert parse_name(name, "fake") == Name(difficulty, number, pattern)


@settings(deadline=None)
@given(ids, st.integers(1, 6))
def test_a_reals_name_gives_its_number_and_no_region_replaced(number, width):
    assert parse_name(f"real_{number:0{width}d}.jpg", "real") == Name(id=number, bits=(0, 0, 0, 0))


@settings(deadline=None)
@given(st.text(max_size=40), st.sampled_from(["real", "fake"]))
@example("mid_1_0110_copy.jpg", "fake")
@example("mid_1_0120.jpg", "fake")
@example("real_00042.jpg", "fake")
@example("mid_1_01101.jpg", "fake")
@example("xmid_1_0110.jpg", "fake")
@example("", "fake")
def test_other_names_never_raise_and_never_invent_bits(text, label):
    name = parse_name(text, label)
    if label == "real":
        assert name.difficulty is None and name.bits == (0, 0, 0, 0)
    elif name.bits is not None:
        assert name.difficulty in DIFFICULTIES and f"{name.difficulty}_" in text
        assert "".join(map(str, name.bits)) in text or "111" in text


def test_three_bits_are_kept_and_noted():
    name = parse_name("easy_116_111.jpg", "fake")
    assert (name.difficulty, name.id, name.bits) == ("easy", 116, (1, 1, 1, 1))
    assert "three bits" in name.note


@pytest.mark.parametrize("pattern", ["011", "000", "110"])
def test_three_bits_that_could_mean_two_things_are_left_empty(pattern):
    name = parse_name(f"easy_1_{pattern}.jpg", "fake")
    assert name.bits is None and name.difficulty == "easy" and pattern in name.note


@pytest.mark.parametrize(
    ("folder", "label"),
    [("real", "real"), ("Training_Real", "real"), ("fake", "fake"), ("training_fake", "fake"), ("reals", None)],
)
def test_the_folder_gives_the_label(folder, label):
    assert label_of_folder(folder) == label
