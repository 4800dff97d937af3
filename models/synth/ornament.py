"""What papers carry besides text: security prints, seals, emblems, portraits, codes, the mark 样本."""
import math

from PIL import Image, ImageDraw, ImageFilter

from .fonts import font


def near(rng, colour, spread):
    return tuple(max(0, min(255, c + rng.randint(-spread, spread))) for c in colour)


def darker(colour, by):
    return tuple(max(0, c - by) for c in colour)


def guilloche(page, colour, kind=None):
    """Fine lines in the paper: waves, crossed waves, rosettes, circles, a grid, dots or nothing."""
    rng = page.rng
    kind = kind or rng.choice(("waves", "crossed", "rosette", "circles", "grid", "dots", "none", "fan", "waves"))
    step = rng.choice((12, 16, 22, 30))
    high, length, lean = rng.uniform(4, 14), rng.uniform(24, 80), rng.uniform(15, 60)
    def waves(sign):
        for row in range(-20, int(page.tall) + 40, step):
            page.line([(x, row + high * math.sin(x / length * sign + row / lean)) for x in range(0, 1001, 10)], colour, 0.8)
    if kind in ("waves", "crossed"):
        waves(1)
        if kind == "crossed":
            waves(-1.3)
    elif kind == "rosette":
        for _ in range(rng.choice((1, 2, 3))):
            rosette(page, rng.uniform(150, 850), rng.uniform(0.2, 0.8) * page.tall, rng.uniform(120, 330), colour)
    elif kind == "circles":
        for radius in range(20, 1100, step):
            u = page.unit
            cx, cy = 500 * u, page.tall * 0.5 * u
            page.draw.ellipse([cx - radius * u, cy - radius * u * 0.7, cx + radius * u, cy + radius * u * 0.7], outline=colour)
    elif kind == "grid":
        for at in range(0, 1001, step):
            page.line([(at, 0), (at + lean, page.tall)], colour, 0.7)
        for at in range(0, int(page.tall), step):
            page.line([(0, at), (1000, at + lean)], colour, 0.7)
    elif kind == "dots":
        for row in range(0, int(page.tall), step * 2):
            for x in range(0, 1000, step * 2):
                page.box(x, row, x + 3, row + 3, fill=colour)
    elif kind == "fan":
        for at in range(-1000, 2000, step * 2):
            page.line([(500, page.tall * 1.1), (at, -20)], colour, 0.7)


def rosette(page, x, y, radius, colour, petals=None):
    rng = page.rng
    petals = petals or rng.randint(5, 13)
    for ring in range(3, 14):
        size = radius * ring / 13
        points = []
        for i in range(0, 121):
            turn = 2 * math.pi * i / 120
            r = size * (1 + 0.18 * math.sin(petals * turn + ring * 0.4))
            points.append((x + r * math.cos(turn), y + r * math.sin(turn)))
        page.line(points, colour, 0.8)


def border(page, colour, inset, width=6.0, kind=None):
    """A frame as certificates have it."""
    rng = page.rng
    kind = kind or rng.choice(("line", "double", "chain", "thick", "wave"))
    right, bottom = 1000 - inset, page.tall - inset
    if kind in ("line", "double", "thick"):
        page.box(inset, inset, right, bottom, outline=colour, width=width * (2.2 if kind == "thick" else 1))
        if kind == "double":
            page.box(inset + width * 2, inset + width * 2, right - width * 2, bottom - width * 2, outline=colour, width=width / 3)
    else:
        step = width * 2.4
        count = int((right - inset) / step)
        for i in range(count + 1):
            for y in (inset, bottom):
                at = inset + i * step
                page.box(at - step / 2, y - step / 2, at + step / 2, y + step / 2, outline=colour, width=1.5, radius=step / 2 if kind == "chain" else 0)
        for i in range(int((bottom - inset) / step) + 1):
            for x in (inset, right):
                at = inset + i * step
                page.box(x - step / 2, at - step / 2, x + step / 2, at + step / 2, outline=colour, width=1.5, radius=step / 2 if kind == "chain" else 0)


def star(x, y, outer, inner, points=5, turn=0.0):
    return [(x + (outer if i % 2 == 0 else inner) * math.sin(turn + i * math.pi / points),
             y - (outer if i % 2 == 0 else inner) * math.cos(turn + i * math.pi / points)) for i in range(points * 2)]


def seal(page, x, y, radius, name, alpha, ink=(215, 30, 35), below="", oval=1.0, square=False):
    """A red seal: ring, star, the name round the ring, a line of words below the star."""
    layer = page.layer()
    pen = ImageDraw.Draw(layer)
    rng, u = page.rng, page.unit
    ink = (*near(rng, ink, 14), alpha)
    cx, cy, r = x * u, y * u, radius * u
    wide = max(1, round(r * rng.uniform(0.035, 0.06)))
    if square:
        pen.rectangle([cx - r, cy - r, cx + r, cy + r], outline=ink, width=wide)
        side = max(1, math.ceil(math.sqrt(len(name))))
        cell = r * 1.8 / side
        for number, char in enumerate(name):
            column, row = divmod(number, side)
            at = (cx + r * 0.9 - cell * (column + 0.5), cy - r * 0.9 + cell * (row + 0.5))
            pen.text(at, char, font=font("serif_bold", cell * 0.9), fill=ink, anchor="mm")
        page.over(layer)
        return
    pen.ellipse([cx - r, cy - r * oval, cx + r, cy + r * oval], outline=ink, width=wide)
    pen.polygon(star(cx, cy, r * 0.3, r * 0.12), fill=ink)
    used = font(rng.choice(("serif_bold", "sans", "serif")), r * 0.24)
    span = math.radians(min(270, 20 * len(name)))
    for number, char in enumerate(name):
        angle = -span / 2 + span * number / max(1, len(name) - 1)
        tile = Image.new("RGBA", (max(2, round(r * 0.34)),) * 2, (0, 0, 0, 0))
        ImageDraw.Draw(tile).text((r * 0.17, r * 0.17), char, font=used, fill=ink, anchor="mm")
        tile = tile.rotate(-math.degrees(angle), resample=Image.BICUBIC)
        at = (round(cx + r * 0.78 * math.sin(angle) - r * 0.17), round(cy - r * 0.78 * oval * math.cos(angle) - r * 0.17))
        layer.alpha_composite(tile, (max(0, min(at[0], layer.width - 1)), max(0, min(at[1], layer.height - 1))))
    if below:
        pen.text((cx, cy + r * 0.52 * oval), below, font=font("serif_bold", r * 0.2), fill=ink, anchor="mm")
    page.over(layer)


def emblem(page, x, y, radius, ink=(200, 30, 30), gold=(225, 180, 60), fine=True):
    """A round emblem with stars, a gate and a wreath, simplified."""
    u = page.unit
    cx, cy, r = x * u, y * u, radius * u
    page.draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=gold)
    page.draw.ellipse([cx - r * 0.78, cy - r * 0.82, cx + r * 0.78, cy + r * 0.74], fill=ink)
    page.draw.polygon(star(cx, cy - r * 0.38, r * 0.26, r * 0.1), fill=gold)
    for angle in (-62, -28, 28, 62):
        at = math.radians(angle)
        page.draw.polygon(star(cx + r * 0.5 * math.sin(at), cy - r * 0.12 - r * 0.3 * math.cos(at), r * 0.1, r * 0.04), fill=gold)
    page.draw.rectangle([cx - r * 0.5, cy + r * 0.28, cx + r * 0.5, cy + r * 0.5], fill=gold)
    page.draw.polygon([(cx - r * 0.42, cy + r * 0.26), (cx + r * 0.42, cy + r * 0.26), (cx + r * 0.3, cy + r * 0.1), (cx - r * 0.3, cy + r * 0.1)], fill=gold)
    page.draw.ellipse([cx - r * 0.22, cy + r * 0.68, cx + r * 0.22, cy + r * 1.06], fill=gold, outline=ink)


def portrait(page, x, y, width, height, tint=None, grey=False, ground=None):
    """A head and shoulders of no one."""
    rng, u = page.rng, page.unit
    w, h = max(8, round(width * u)), max(8, round(height * u))
    ground = ground or near(rng, rng.choice(((246, 247, 248), (230, 236, 242), (215, 228, 240), (240, 238, 235), (90, 140, 200), (200, 60, 60))), 8)
    tile = Image.new("RGB", (w, h), ground)
    pen = ImageDraw.Draw(tile)
    skin = near(rng, rng.choice(((226, 190, 165), (214, 176, 150), (233, 200, 178), (200, 160, 132))), 8)
    coat = near(rng, rng.choice(((62, 66, 84), (30, 30, 34), (120, 40, 46), (180, 184, 190), (70, 96, 80), (225, 222, 215))), 10)
    hair = near(rng, rng.choice(((38, 34, 33), (60, 46, 38), (120, 116, 112))), 6)
    lean = rng.uniform(-0.03, 0.03)
    wide, top = rng.uniform(0.19, 0.24), rng.uniform(0.14, 0.2)
    chin = top + rng.uniform(0.5, 0.56)
    if rng.random() < 0.45:  # long hair behind
        pen.ellipse([w * (0.5 + lean - wide - 0.07), h * (top - 0.07), w * (0.5 + lean + wide + 0.07), h * (chin + rng.uniform(0.05, 0.25))], fill=hair)
    pen.rectangle([w * 0.41, h * (chin - 0.12), w * 0.59, h * 0.86], fill=darker(skin, 18))
    pen.ellipse([w * rng.uniform(0.02, 0.12), h * rng.uniform(0.7, 0.76), w * rng.uniform(0.88, 0.98), h * 1.4], fill=coat)
    pen.polygon([(w * 0.4, h * 0.75), (w * 0.6, h * 0.75), (w * 0.5, h * 0.93)], fill=near(rng, (235, 235, 235), 20))
    pen.ellipse([w * (0.5 + lean - wide), h * top, w * (0.5 + lean + wide), h * chin], fill=skin)
    pen.chord([w * (0.5 + lean - wide - 0.02), h * (top - 0.05), w * (0.5 + lean + wide + 0.02), h * (chin - 0.1)], 180, 360, fill=hair)
    eye = top + (chin - top) * 0.5
    for side in (-1, 1):
        at = w * (0.5 + lean + side * wide * 0.45)
        pen.ellipse([at - w * 0.03, h * eye, at + w * 0.03, h * (eye + 0.022)], fill=(30, 26, 24))
        pen.line([at - w * 0.05, h * (eye - 0.035), at + w * 0.05, h * (eye - 0.035)], fill=hair, width=max(1, w // 60))
    pen.line([w * (0.5 + lean), h * (eye + 0.03), w * (0.49 + lean), h * (eye + 0.11)], fill=darker(skin, 40), width=max(1, w // 80))
    pen.line([w * (0.45 + lean), h * (eye + 0.165), w * (0.55 + lean), h * (eye + 0.165)], fill=(170, 90, 85), width=max(1, h // 70))
    tile = tile.filter(ImageFilter.GaussianBlur(w / 90))
    if grey:
        tile = tile.convert("L").convert("RGB")
    if tint:
        tile = Image.blend(tile, Image.new("RGB", tile.size, tint), 0.35)
    page.paste(tile, x, y)


def qr(page, x, y, side, cells=25, ink=(20, 20, 20)):
    """Something that looks like a two-dimensional code and holds nothing."""
    rng = page.rng
    tile = Image.new("L", (cells, cells), 255)
    for row in range(cells):
        for column in range(cells):
            far = cells - 7
            corner = (row < 7 or row >= far) and (column < 7 or column >= far) and not (row >= far and column >= far)
            if corner:
                a, b = row % far if row >= far else row, column % far if column >= far else column
                dark = a in (0, 6) or b in (0, 6) or (2 <= a <= 4 and 2 <= b <= 4)
            else:
                dark = rng.random() < 0.48
            if dark:
                tile.putpixel((column, row), 0)
    size = max(cells, round(side * page.unit))
    mask = tile.resize((size, size), Image.NEAREST).point(lambda v: 255 - v)
    page.image.paste(ink, (round(x * page.unit), round(y * page.unit)), mask)


def bars(page, x, y, width, height, ink=(20, 20, 20)):
    """A bar code that says nothing."""
    at = x
    while at < x + width:
        wide = page.rng.choice((1.5, 3, 4.5))
        page.box(at, y, min(at + wide, x + width), y + height, fill=ink)
        at += wide + page.rng.choice((1.5, 3, 4.5))


def specimen(page):
    """样本, in one of several places, sizes, colours and turns."""
    rng = page.rng
    layer = page.layer()
    wide, high = page.image.size
    kind = rng.choice(("large", "large", "large", "corner", "tiled", "red", "outline"))
    size = min(wide, high) * {"large": rng.uniform(0.3, 0.46), "corner": rng.uniform(0.1, 0.16), "tiled": 0.12, "red": rng.uniform(0.14, 0.3), "outline": 0.36}[kind]
    shade = rng.randint(110, 160)
    fill = (210, 40, 40, rng.randint(70, 130)) if kind == "red" else (shade, shade, shade, rng.randint(48, 78))
    text = Image.new("RGBA", (round(size * 2.6), round(size * 1.5)), (0, 0, 0, 0))
    used = font(rng.choice(("sans_bold", "serif_bold", "sans")), size)
    pen = ImageDraw.Draw(text)
    if kind == "outline":
        pen.text((size * 1.3, size * 0.75), "样本", font=used, fill=(0, 0, 0, 0), anchor="mm", stroke_width=max(1, round(size / 50)), stroke_fill=fill)
    else:
        pen.text((size * 1.3, size * 0.75), "样本", font=used, fill=fill, anchor="mm")
    text = text.rotate(rng.uniform(-5, 35), expand=True, resample=Image.BICUBIC)
    spots = [((wide - text.width) // 2, (high - text.height) // 2)]
    if kind == "corner":
        spots = [rng.choice(((0, 0), (wide - text.width, 0), (wide - text.width, high - text.height), (0, high - text.height)))]
    if kind == "tiled":
        spots = [(x, y) for x in range(0, wide, text.width) for y in range(0, high, text.height * 2)]
    for x, y in spots:
        layer.alpha_composite(text.crop((0, 0, min(text.width, wide - max(0, x)), min(text.height, high - max(0, y)))), (max(0, x), max(0, y)))
    page.over(layer)
