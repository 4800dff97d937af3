"""Tables, cloth and noise, made of the generator's bytes."""
import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter


def noise(rng, size, sigma, cell=256):
    """A grey image around 128."""
    tile = Image.frombytes("L", (cell, cell), rng.randbytes(cell * cell)).point(lambda v: int(128 + (v - 128) * sigma / 74))
    out = Image.new("L", size)
    for top in range(0, size[1], cell):
        for left in range(0, size[0], cell):
            out.paste(tile.rotate(rng.choice((0, 90, 180, 270))), (left, top))
    return out


def coarse(rng, size, cells, low, high):
    """Soft spots: a few random values drawn large."""
    wide, tall = cells
    tile = Image.frombytes("L", (wide, tall), rng.randbytes(wide * tall)).point(lambda v: int(low + (high - low) * v / 255))
    return tile.resize(size, Image.BICUBIC)


def table(rng, size):
    """What a page lies on: wood, cloth, stone, one colour, another sheet."""
    kind = rng.choice(("wood", "cloth", "stone", "plain", "papers", "dark"))
    colour = rng.choice(((96, 78, 62), (70, 72, 78), (150, 140, 128), (52, 60, 58), (170, 130, 90), (200, 196, 188), (60, 80, 110), (130, 60, 50), (225, 225, 222), (30, 30, 32)))
    out = Image.new("RGB", size, colour)
    if kind == "wood":
        grain = coarse(rng, size, (rng.randint(2, 5), rng.randint(40, 160)), 60, 200) if rng.random() < 0.5 else coarse(rng, size, (rng.randint(40, 160), rng.randint(2, 5)), 60, 200)
    elif kind == "cloth":
        grain = coarse(rng, size, (max(8, size[0] // 6), max(8, size[1] // 6)), 90, 165)
    elif kind == "stone":
        grain = coarse(rng, size, (rng.randint(8, 30), rng.randint(8, 30)), 70, 190)
    else:
        grain = coarse(rng, size, (4, 4), 110, 146)
    out = ImageChops.add(out, Image.merge("RGB", (grain,) * 3), offset=-128)
    if kind == "papers":
        pen = ImageDraw.Draw(out)
        for _ in range(rng.randint(1, 4)):
            x, y, s = rng.uniform(-0.2, 0.9) * size[0], rng.uniform(-0.2, 0.9) * size[1], rng.uniform(0.3, 0.8) * size[0]
            turn = rng.uniform(-0.5, 0.5)
            pen.polygon([(x + s * a * math.cos(turn) - s * b * math.sin(turn), y + s * a * math.sin(turn) + s * b * math.cos(turn)) for a, b in ((0, 0), (1, 0), (1, 0.7), (0, 0.7))],
                        fill=tuple(rng.randint(170, 250) for _ in range(3)))
    return out


def finger(rng, size, at, toward, wide):
    """A finger tip from `toward` (outside) to `at`; the layer and its mask."""
    skin = rng.choice(((224, 180, 150), (200, 150, 120), (240, 200, 175), (150, 105, 80)))
    layer, mask = Image.new("RGB", size, skin), Image.new("L", size, 0)
    pen = ImageDraw.Draw(mask)
    pen.line([toward, at], fill=255, width=round(wide))
    pen.ellipse([at[0] - wide / 2, at[1] - wide / 2, at[0] + wide / 2, at[1] + wide / 2], fill=255)
    return layer, mask.filter(ImageFilter.GaussianBlur(max(1, wide / 20)))
