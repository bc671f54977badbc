#!/usr/bin/env python3
"""Makes the JPEG samples beside this script and what Pillow makes of them (run with Pillow >= 13 and NumPy).

NAME.jpg         a sample of each kind
NAME.rgb         its pixels by Pillow: exif_transpose, convert("RGB"), rows of R G B
decode.txt       NAME WIDTH HEIGHT of every pair
resize.txt       IN_W IN_H  X0 Y0 X1 Y1  OUT_W OUT_H  CRC: Image.resize(BILINEAR) of a window of the noise image (see noise())
photographs.txt  PATH BYTES CRC(file)  WIDTH HEIGHT CRC(pixels)  OUT_W OUT_H CRC(resized): Debian's mate-backgrounds
CRC is zlib.crc32 over rows of R G B, in hexadecimal.
"""
import ctypes
import glob
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 37, 29


def scene(width=WIDTH, height=HEIGHT):
    """Slopes, a disc, hard edges and noise: something for every part of a codec."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 255 * x / (width - 1)
    green = 255 * y / (height - 1)
    blue = 128 + 120 * np.sin(x / 3) * np.cos(y / 4)
    image = np.stack([red, green, blue], axis=2)
    image[(x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (height * 0.25) ** 2] = (250, 20, 60)
    image[height // 2:, : width // 4] = (10, 240, 20)
    image += np.random.default_rng(7).normal(0, 6, image.shape)
    return Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8), "RGB")


def noise(width, height):
    """The same bytes as noise_image() in tests/image/image_testing.h."""
    h = np.arange(width * height * 3, dtype=np.uint64) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(15)
    h = h * np.uint64(2246822519) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    return Image.fromarray((h >> np.uint64(16)).astype(np.uint8).reshape(height, width, 3), "RGB")


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 85, **options})
    return out.getvalue()


def turbojpeg(image, subsampling):
    """Chroma layouts that Pillow does not write: 3 grey, 4 4:4:0, 5 4:1:1 in TurboJPEG's numbering."""
    lib = ctypes.CDLL("libturbojpeg.so.0")
    lib.tjInitCompress.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(lib.tjInitCompress())
    pixels = image.tobytes()
    out, size = ctypes.c_void_p(), ctypes.c_ulong()
    if lib.tjCompress2(handle, pixels, image.width, 0, image.height, 0, ctypes.byref(out), ctypes.byref(size),
                       subsampling, 85, 0) != 0:
        raise RuntimeError("tjCompress2")
    return ctypes.string_at(out, size.value)


def exif(orientation, order="<", as_long=False):
    """A minimal TIFF with another tag before the orientation; made by hand to choose the byte order and type."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    maker = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    value = struct.pack(order + "I", orientation) if as_long else struct.pack(order + "HH", orientation, 0)
    turn = struct.pack(order + "HHI", 0x0112, 4 if as_long else 3, 1) + value
    return b"Exif\0\0" + head + struct.pack(order + "H", 2) + maker + turn + struct.pack(order + "I", 0)


def segments(data):
    """(marker, payload) up to the first scan, then the entropy-coded bytes of that scan."""
    at, found = 2, []
    while True:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2:at + 4])[0]
        found.append((marker, data[at + 4:at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:
            return found, data[at:-2]


def segment(marker, payload):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def one_scan_a_component(image):
    """A sequential JPEG in three scans, joined from three grey JPEGs of the planes Y, Cb, Cr."""
    planes = [jpeg(plane) for plane in image.convert("YCbCr").split()]
    head, _ = segments(planes[0])
    data = b"\xff\xd8" + b"".join(segment(m, p) for m, p in head if m in (0xE0, 0xDB))
    data += segment(0xC0, struct.pack(">BHHB", 8, image.height, image.width, 3) +
                    b"".join(bytes([i + 1, 0x11, 0]) for i in range(3)))
    data += b"".join(segment(m, p) for m, p in head if m == 0xC4)
    for i, plane in enumerate(planes):
        data += segment(0xDA, bytes([1, i + 1, 0, 0, 63, 0])) + segments(plane)[1]
    return data + b"\xff\xd9"


def as_ycck(data):
    """The Adobe marker's transform 0 (CMYK) made 2 (YCCK): the same numbers are then read as Y, Cb, Cr, K."""
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1:]


def samples():
    image = scene()
    grey, cmyk = image.convert("L"), Image.merge("CMYK", (*image.split(), image.convert("L").point(lambda v: v // 2)))
    yield "grey", jpeg(grey)
    yield "grey_progressive", jpeg(grey, progressive=True)
    for name, layout in (("444", 0), ("422", 1), ("420", 2)):
        yield f"ycc{name}", jpeg(image, subsampling=layout)
        yield f"ycc{name}_progressive", jpeg(image, subsampling=layout, progressive=True)
    yield "ycc440", turbojpeg(image, 4)
    yield "ycc411", turbojpeg(image, 5)
    yield "rgb", jpeg(image, keep_rgb=True)
    yield "cmyk", jpeg(cmyk)
    yield "cmyk_progressive", jpeg(cmyk, progressive=True)
    yield "ycck", as_ycck(jpeg(cmyk))
    yield "restarts", jpeg(image, restart_marker_rows=1)
    yield "scans", one_scan_a_component(image)
    yield "one_pixel", jpeg(image.crop((20, 10, 21, 11)))
    small = scene(21, 13)
    for turn in range(1, 9):
        yield f"turned{turn}", jpeg(small, exif=exif(turn, "<" if turn % 2 else ">", as_long=turn == 4))
    yield "turned6_cmyk", jpeg(cmyk, exif=exif(6, ">"))


def crc(image):
    return f"{zlib.crc32(image.tobytes()):08x}"


def resize_cases():
    yield from ((40, 30, 1024, 768), (1800, 1200, 1024, 683), (1, 1, 7, 5), (7, 5, 1, 1), (1, 50, 33, 20),
                (50, 1, 20, 33), (3, 3, 3, 9), (3, 3, 9, 3), (64, 48, 64, 48), (641, 479, 1024, 765), (479, 641, 765, 1024),
                (2, 2, 5, 5), (333, 222, 332, 221), (333, 222, 334, 223), (1000, 4, 3, 3), (4, 1000, 3, 3), (17, 9, 16, 8),
                (255, 255, 100, 101), (3001, 7, 11, 40), (5000, 3, 1, 2), (301, 203, 1024, 691),
                (100, 211, 49, 103), (100, 199, 51, 102), (4, 400, 3, 400), (60, 60, 45, 29), (60, 60, 45, 30), (30, 90, 60, 89))


def main():
    def write(name, content):
        with open(os.path.join(HERE, name), "wb") as out:
            out.write(content)

    listed = []
    for name, data in samples():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        write(f"{name}.jpg", data)
        write(f"{name}.rgb", image.tobytes())
        listed.append(f"{name} {image.width} {image.height}\n")
    write("decode.txt", "".join(listed).encode())

    lines = []
    for in_w, in_h, out_w, out_h in resize_cases():
        windows = {(0, 0, in_w, in_h), (in_w // 3, in_h // 4, max(in_w // 3 + 1, in_w - 2), max(in_h // 4 + 1, in_h - 1))}
        for window in sorted(windows):
            resized = noise(in_w, in_h).crop(window).resize((out_w, out_h), Image.BILINEAR)
            lines.append(f"{in_w} {in_h} {' '.join(map(str, window))} {out_w} {out_h} {crc(resized)}\n")
    write("resize.txt", "".join(lines).encode())

    lines = []
    for path in sorted(glob.glob("/usr/share/backgrounds/mate/nature/*.jpg")):
        with open(path, "rb") as file:
            data = file.read()
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        scale = 1024 / max(image.size)
        size = tuple(int(side * scale + 0.5) for side in image.size)
        lines.append(f"{path} {len(data)} {zlib.crc32(data):08x} {image.width} {image.height} {crc(image)} "
                     f"{size[0]} {size[1]} {crc(image.resize(size, Image.BILINEAR))}\n")
    write("photographs.txt", "".join(lines).encode())


if __name__ == "__main__":
    main()
