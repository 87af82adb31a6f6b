"""Whatever form an image file has, the same grey comes out of it; what is none is refused in one line."""

import contextlib
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from predict.drawn import bytes_of, centred, on_paper

from components.errors import BadInput
from pipeline.predict.photograph import THUMBNAIL, WORKING, is_image, read

INK = centred()
GREY = on_paper(INK)


def rgba(ink, pen):
    """Ink of one colour on nothing."""
    return Image.fromarray(np.dstack([np.full((*ink.shape, 3), pen, np.uint8), bytes_of(ink)]))


def palette():
    return Image.fromarray(bytes_of(GREY)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)


FORMS = {
    "8.png": lambda: Image.fromarray(bytes_of(GREY)),
    "16.png": lambda: Image.fromarray((GREY * 65535).astype(np.uint16)),
    "rgb.png": lambda: Image.fromarray(bytes_of(GREY)).convert("RGB"),
    "palette.png": palette,
    "8.bmp": lambda: Image.fromarray(bytes_of(GREY)),
    "8.tiff": lambda: Image.fromarray(bytes_of(GREY)),
    "16.tif": lambda: Image.fromarray((GREY * 65535).astype(np.uint16)),
    "8.jpg": lambda: Image.fromarray(bytes_of(GREY)),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_grey(tmp_path, name):
    FORMS[name]().save(tmp_path / name)
    found = read(tmp_path / name).grey
    assert found.dtype == np.float32
    assert np.abs(found - GREY).mean() < 0.02


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(bytes_of(1 - INK)).convert("1", dither=Image.Dither.NONE).save(tmp_path / "1.png")
    assert set(np.unique(read(tmp_path / "1.png").grey)) == {0.0, 1.0}


@pytest.mark.parametrize(("pen", "paper"), [(0, 1.0), (255, 0.0)])
def test_ink_on_nothing_goes_on_the_opposite(tmp_path, pen, paper):
    rgba(INK, pen).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png").grey
    assert found[0, 0] == paper
    assert np.abs(found - np.abs(paper - INK)).max() < 0.01


def test_paper_with_cut_off_corners_stays_paper_there(tmp_path):
    pixels = np.dstack([*[bytes_of(GREY)] * 3, np.full(GREY.shape, 255, np.uint8)])
    pixels[:20, :20] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").grey[5, 5] == pytest.approx(0.9, abs=0.01)


def test_an_image_is_turned_as_its_exif_tag_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(bytes_of(np.rot90(GREY))).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert np.abs(read(tmp_path / "turned.jpg").grey - GREY).mean() < 0.02


def test_yellow_on_white_is_seen(tmp_path):
    blue = bytes_of(1 - INK)
    white = np.full_like(blue, 255)
    Image.fromarray(np.dstack([white, white, blue])).save(tmp_path / "yellow.png")
    assert np.ptp(read(tmp_path / "yellow.png").grey) > 0.9


def test_a_large_photograph_is_averaged_down(tmp_path):
    Image.fromarray(bytes_of(GREY)).resize((4000, 4000)).save(tmp_path / "large.png")
    found = read(tmp_path / "large.png")
    assert max(found.grey.shape) <= WORKING
    assert max(found.thumbnail.shape) <= THUMBNAIL


@given(height=st.integers(4, 90), width=st.integers(4, 90))
def test_any_size_is_read(tmp_path_factory, height, width):
    path = tmp_path_factory.mktemp("sizes") / "a.png"
    Image.new("L", (width, height), 128).save(path)
    found = read(path)
    assert found.grey.shape == (height, width)
    assert found.thumbnail.shape[2] == 3


def png(width, height):
    """A PNG that says it is this large, and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    framed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def whole():
    import io

    file = io.BytesIO()
    Image.fromarray(bytes_of(GREY)).save(file, format="PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an image"),
        (b"seven", "another kind of file"),
        (b"GIF89a\1\0\1\0\0\0\0;", "another kind of file"),
        (whole()[:300], "cannot be read as an image"),
        (png(10_000, 10_000), "too large to be decompressed"),
        (png(60_000, 60_000), "too large to be decompressed"),
        (png(3, 3), "no size of a photograph"),
        (png(5000, 5), "no size of a photograph"),
    ],
)
def test_what_is_no_photograph_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "7\n.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in (("pipe.png", "no regular file"), ("nowhere.png", "no such file")):
        assert not is_image(tmp_path / name)
        with pytest.raises(BadInput, match=message):
            read(tmp_path / name)


@given(place=st.integers(8, 700), value=st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, place, value):
    content = bytearray(whole())
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        assert np.isfinite(read(path).grey).all()
