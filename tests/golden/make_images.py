#!/usr/bin/env python3
"""Writes the pictures of tests/golden/images and, to tests/golden/images.safetensors, what PIL and torchvision make of
them: decoded.FILE is Image.open(FILE).convert("RGB"), transformed.FILE:TEXT the result of the transform that TEXT
means to Lethe; both [height, width, 3] bytes.

    python3 tests/golden/make_images.py            # needs Pillow 9 or 10, torchvision and numpy
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

FOLDER = pathlib.Path(__file__).resolve().parent / "images"
BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC


def natural(height, width, seed):
    """Smooth gradients, coloured discs with hard edges, texture that gets finer from left to right, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.stack([0.3 + 0.5 * x, 0.6 - 0.4 * y + 0.2 * x, 0.4 + 0.4 * y * x], axis=2)
    for _ in range(9):
        centre, radius = rng.random(2) * [height, width] / max(height, width), 0.04 + 0.16 * rng.random()
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        picture[inside] = 0.75 * rng.random(3) + 0.25 * picture[inside]
    picture += (0.12 * np.sin(40 * x * (1 + 3 * x) + 9 * y) * np.cos(23 * y))[..., None]
    picture += rng.normal(0, 0.02, picture.shape)
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


# ---- PNG of kinds that PIL does not write ----------------------------------------------------------------------------

GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6
SAMPLES = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def packed_rows(samples, bits):
    rows = b""
    for row in samples.reshape(len(samples), -1):
        if bits == 16:
            row = row.astype(">u2").view(np.uint8)
        elif bits < 8:
            row = np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits:].ravel())
        rows += b"\0" + row.astype(np.uint8).tobytes()
    return rows


def png(samples, colour, bits, interlaced=False, transparency=b""):
    """samples [height, width, samples per pixel] of `bits` bits each."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, count = samples.shape
    assert count == SAMPLES[colour]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    passes = [samples[top::down, left::right] for top, left, down, right in ADAM7] if interlaced else [samples]
    rows = b"".join(packed_rows(part, bits) for part in passes if part.size)
    extra = chunk(b"tRNS", transparency) if transparency else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) +
            chunk(b"IEND", b""))


# ---- the pictures ----------------------------------------------------------------------------------------------------


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pictures():
    wide, tall = natural(47, 61, 1), natural(113, 37, 2)
    large = natural(203, 301, 3)
    image, tall_image = Image.fromarray(wide), Image.fromarray(tall)
    grey = np.asarray(image.convert("L"))
    alpha = (np.add.outer(np.arange(47) * 3, np.arange(61) * 2) % 256).astype(np.uint8)
    rotated = Image.Exif()
    rotated[0x112] = 6  # to be turned by 90 degrees, says EXIF

    yield "large.jpg", saved(Image.fromarray(large), "JPEG", quality=90)
    yield "420.jpg", saved(image, "JPEG", quality=75, subsampling=2)
    yield "422.jpg", saved(tall_image, "JPEG", quality=85, subsampling=1)
    yield "444.jpg", saved(image, "JPEG", quality=95, subsampling=0)
    yield "coarse.jpg", saved(tall_image, "JPEG", quality=10)
    yield "grey.jpg", saved(image.convert("L"), "JPEG")
    yield "progressive.jpg", saved(tall_image, "JPEG", quality=80, progressive=True)
    yield "progressive_grey.jpg", saved(image.convert("L"), "JPEG", quality=60, progressive=True)
    yield "exif.jpg", saved(image, "JPEG", exif=rotated)
    yield "cmyk.jpg", saved(image.convert("CMYK"), "JPEG", quality=90)

    yield "rgb.png", saved(image, "PNG")
    yield "rgba.png", saved(Image.fromarray(np.dstack([wide, alpha])), "PNG")
    yield "grey.png", saved(tall_image.convert("L"), "PNG")
    yield "grey_alpha.png", saved(Image.fromarray(np.dstack([grey, alpha]), "LA"), "PNG")
    yield "one_bit.png", saved(image.convert("1"), "PNG")
    yield "palette.png", saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=200), "PNG")
    yield "palette_4_bit.png", saved(tall_image.convert("P", palette=Image.Palette.ADAPTIVE, colors=13), "PNG")
    yield "palette_alpha.png", saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=100), "PNG",
                                     transparency=bytes(range(0, 200, 2)))
    yield "palette_key.png", saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=4), "PNG", transparency=1)
    yield "grey_2_bit.png", png(grey[..., None] >> 6, GREY, 2)
    yield "grey_4_bit.png", png(grey[..., None] >> 4, GREY, 4)
    yield "rgb_key.png", png(wide, RGB, 8, transparency=struct.pack(">HHH", *wide[5, 5]))
    yield "rgb_16_bit.png", png(wide.astype(np.int64) * 257 - 77 * (wide > 9), RGB, 16)
    yield "rgba_16_bit.png", png(np.dstack([wide, alpha]).astype(np.int64) * 256 + 200, RGBA, 16)
    yield "grey_alpha_16_bit.png", png(np.dstack([grey, alpha]).astype(np.int64) * 256 + 200, GREY_ALPHA, 16)
    yield "grey_16_bit.png", png(grey[..., None].astype(np.int64) * 256, GREY, 16)  # PIL makes it white
    yield "interlaced.png", png(wide, RGB, 8, interlaced=True)
    yield "interlaced_1_bit.png", png(grey[..., None] >> 7, GREY, 1, interlaced=True)

    yield "rgb.bmp", saved(image, "BMP")
    yield "rgbx.bmp", saved(Image.fromarray(np.dstack([wide[:9, :7], alpha[:9, :7]])), "BMP")
    yield "palette.bmp", saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=90), "BMP")
    yield "grey.bmp", saved(image.convert("L"), "BMP")
    yield "one_bit.bmp", saved(image.convert("1"), "BMP")
    yield "rgb.ppm", saved(Image.fromarray(wide[:9, :7]), "PPM")
    yield "grey.pgm", saved(image.convert("L"), "PPM")


# ---- the transforms --------------------------------------------------------------------------------------------------

TRANSFORMS = [
    ("large.jpg", "imagenet", [T.Resize(256), T.CenterCrop(224)]),
    ("large.jpg", "resize=64,bicubic,crop=56", [T.Resize(64, BICUBIC), T.CenterCrop(56)]),
    ("large.jpg", "resize=71x50,bilinear", [T.Resize((71, 50), BILINEAR)]),
    ("large.jpg", "resize=37,bilinear", [T.Resize(37, BILINEAR)]),
    ("420.jpg", "resize=83,bilinear", [T.Resize(83, BILINEAR)]),
    ("422.jpg", "resize=53,bicubic", [T.Resize(53, BICUBIC)]),
    ("progressive.jpg", "resize=24,bilinear,crop=24", [T.Resize(24, BILINEAR), T.CenterCrop(24)]),
    ("grey.jpg", "resize=33,bicubic", [T.Resize(33, BICUBIC)]),
    ("rgba.png", "resize=40x31,bicubic", [T.Resize((40, 31), BICUBIC)]),
    ("palette.png", "resize=96x29,bilinear", [T.Resize((96, 29), BILINEAR)]),
    ("one_bit.png", "resize=20,bicubic", [T.Resize(20, BICUBIC)]),
    ("rgb.png", "resize=47x90,bicubic", [T.Resize((47, 90), BICUBIC)]),  # one axis keeps its length
    ("rgb.png", "resize=70x61,bilinear", [T.Resize((70, 61), BILINEAR)]),
    ("rgb.png", "crop=20", [T.CenterCrop(20)]),  # 27 and 41 pixels too many: 13.5 and 20.5 before it
    ("rgb.png", "crop=42", [T.CenterCrop(42)]),  # 5 and 19: 2.5 and 9.5
    ("rgb.png", "crop=52", [T.CenterCrop(52)]),  # lower than the image is wide, higher than it is high
    ("422.jpg", "crop=120", [T.CenterCrop(120)]),
    ("rgb.bmp", "pad=3,crop=50", [T.Pad(3), T.CenterCrop(50)]),
]


def write_safetensors(path, arrays):
    header, chunks, offset = {}, [], 0
    for name, array in arrays.items():
        chunk = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": "U8", "shape": list(array.shape), "data_offsets": [offset, offset + len(chunk)]}
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def main():
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, contents in pictures():
        (FOLDER / name).write_bytes(contents)
        expected[f"decoded.{name}"] = np.asarray(Image.open(FOLDER / name).convert("RGB"))
    del expected["decoded.large.jpg"]  # its transforms tell enough
    del expected["decoded.grey_16_bit.png"]  # refused
    for name, text, steps in TRANSFORMS:
        image = Image.open(FOLDER / name).convert("RGB")
        expected[f"transformed.{name}:{text}"] = np.asarray(T.Compose(steps)(image))
    write_safetensors(FOLDER.parent / "images.safetensors", expected)
    files = [FOLDER.parent / "images.safetensors", *FOLDER.iterdir()]
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1024:.0f} KiB")


main()
