"""Resizing as torchvision does it for PIL images: Pillow's antialiased bilinear filter."""

from PIL import Image


def to_pil_image(array):
    return Image.fromarray(array)


def resize(image, size):
    height, width = size
    return image.resize((width, height), Image.BILINEAR)
