"""From a drawn page to the picture of it: as scanned, photographed, copied, taken off a screen, and what may go wrong."""
import dataclasses
import math

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from . import ornament, surface
from .fonts import font
from .geometry import corners, homography, moved

CONDITIONS = ("clean", "soft", "blurred", "half", "rotated90", "rotated180", "rotated270", "photo", "seal", "watermark", "photocopy", "screen", "glare", "dark", "cut", "occluded")
CARDS = ("id_front", "id_back", "temp_id", "hkmo_permit", "taiwan_permit", "taiwan_compatriot")
PURPOSES = ("仅供商户入驻使用", "仅供办理业务使用，他用无效", "仅供平台审核使用", "仅限开户使用", "仅供本次认证使用 再次复印无效", "仅供某某公司备案")


@dataclasses.dataclass
class Shot:
    """`quad` are the page's corners in the picture, from its own top left, clockwise; `to_image` maps page pixels there."""

    image: Image.Image
    to_image: list
    quad: list
    rotation: int = 0
    quality: list = dataclasses.field(default_factory=list)
    authenticity: list = dataclasses.field(default_factory=list)
    jpeg: int = 90


def take(rng, page, condition, doc_type=""):
    """The picture of `page` (image, boxes) in the condition."""
    if condition == "seal":
        seal_over(rng, page)
    if condition == "watermark":
        watermark(rng, page)
    image = page.image
    shot = flat(image)
    if condition == "soft":  # too soft to be trusted, still read for the most part: work for a reviewer
        shot.image = image.filter(ImageFilter.GaussianBlur(image.width / 1000 * 2.3))
        shot.quality = ["blurred"]
    elif condition == "blurred":
        shot.image = image.filter(ImageFilter.GaussianBlur(image.width / 1000 * rng.uniform(3.4, 4.2)))
        shot.quality = ["blurred"]
    elif condition == "half":
        shot = placed(rng, image, Image.new("RGB", (image.width // 2, image.height // 2)), corners((0, 0, image.width // 2, image.height // 2)))
        shot.jpeg = 70
    elif condition.startswith("rotated"):
        shot = turned(image, int(condition.removeprefix("rotated")))
    elif condition == "photocopy":
        shot = photocopy(rng, image)
    elif condition == "screen":
        shot = screen(rng, image)
    elif condition in ("photo", "glare", "dark", "cut", "occluded"):
        shot = photo(rng, image, condition, rounded=doc_type in CARDS)
    elif condition == "seal":
        shot.authenticity = ["seal_over_text"]
    elif condition == "watermark":
        shot.authenticity = ["has_watermark"]
    return shot


def flat(image):
    return Shot(image, [1, 0, 0, 0, 1, 0, 0, 0], corners((0, 0, *image.size)))


def turned(image, degrees):
    """Turned clockwise by a multiple of 90."""
    wide, high = image.size
    out = image.rotate(-degrees, expand=True)
    target = corners((0, 0, *out.size))
    steps = degrees // 90
    quad = target[steps:] + target[:steps]
    return Shot(out, homography(corners((0, 0, wide, high)), quad), quad, rotation=degrees)


def placed(rng, image, canvas, quad, mask=None):
    """The page drawn into the canvas with its corners at `quad`."""
    source = corners((0, 0, *image.size))
    back = homography(quad, source)
    mask = mask or Image.new("L", image.size, 255)
    scale = max(1, min(4, round(image.width / max(1.0, math.dist(quad[0], quad[1])) - 0.2)))
    if scale > 1:  # average before going far down
        image, mask = image.reduce(scale), mask.reduce(scale)
        back = homography(quad, corners((0, 0, *image.size)))
    page = image.transform(canvas.size, Image.PERSPECTIVE, back, Image.BICUBIC)
    cover = mask.transform(canvas.size, Image.PERSPECTIVE, back, Image.BILINEAR)
    canvas.paste(page, (0, 0), cover)
    return Shot(canvas, homography(source, quad), quad)


def hand_held(rng, size, margin, tilt, turn):
    """A canvas size and where the corners of a page of `size` come to lie in it."""
    wide, high = size
    dx, dy = round(wide * rng.uniform(*margin)), round(high * rng.uniform(*margin))
    canvas = (wide + 2 * dx, high + 2 * dy)
    cx, cy, angle = canvas[0] / 2, canvas[1] / 2, math.radians(turn)
    quad = []
    for x, y in corners((dx, dy, dx + wide, dy + high)):
        x, y = x + rng.uniform(-tilt, tilt) * wide - cx, y + rng.uniform(-tilt, tilt) * high - cy
        quad.append((cx + x * math.cos(angle) - y * math.sin(angle), cy + x * math.sin(angle) + y * math.cos(angle)))
    return canvas, quad


def photo(rng, image, condition, rounded):
    """As a hand-held telephone takes it: on a table, a little from the side, with a shadow, noise and a soft lens."""
    size, quad = hand_held(rng, image.size, (0.05, 0.16), 0.025, rng.uniform(-4, 4))
    canvas = surface.table(rng, size)
    mask = None
    if rounded and rng.random() < 0.7:
        mask = Image.new("L", image.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle([0, 0, image.width - 1, image.height - 1], image.width * 0.037, 255)
    fold = rng.random() < 0.15
    shot = placed(rng, folded(rng, image) if fold and not rounded else image, canvas, quad, mask)
    wide, high = size
    unit = wide / 1000
    if rng.random() < 0.25 or condition == "occluded":
        shot.image.paste(*hand(rng, shot, inside=condition == "occluded"))
    if condition == "occluded":
        shot.authenticity = ["partly_occluded"]
    shade = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size).point(lambda v, d=rng.uniform(0.1, 0.4): int(255 - v * d))
    out = ImageChops.multiply(shot.image, Image.merge("RGB", (shade,) * 3))
    if rng.random() < 0.35:
        out = shadow(rng, out)
    if rng.random() < 0.5:  # warm or cold light
        warm = rng.uniform(-0.1, 0.1)
        r, g, b = out.split()
        out = Image.merge("RGB", (r.point(lambda v: min(255, int(v * (1 + warm)))), g, b.point(lambda v: min(255, int(v * (1 - warm))))))
    if condition == "glare":
        out = glare(rng, out, shot)
        shot.quality = ["glare"]
    sigma = rng.uniform(4, 13)
    if condition == "dark":
        out = out.point(lambda v, d=rng.uniform(0.18, 0.32): int(v * d))
        sigma = rng.uniform(6, 12)
        shot.quality = ["dark"]
    grain = surface.noise(rng, size, sigma)
    out = ImageChops.add(out, Image.merge("RGB", (grain,) * 3), offset=-128)
    out = out.filter(ImageFilter.GaussianBlur(unit * rng.uniform(0.2, 0.6)))
    shot.image, shot.jpeg = out, rng.randint(72, 90)
    if condition == "cut":
        shot = cut(rng, shot)
    return shot


def folded(rng, image):
    """A crease across the page."""
    out = image.copy()
    at = rng.uniform(0.35, 0.65)
    band = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(band)
    if rng.random() < 0.5:
        pen.line([(image.width * at, 0), (image.width * at, image.height)], fill=110, width=max(2, image.width // 120))
    else:
        pen.line([(0, image.height * at), (image.width, image.height * at)], fill=110, width=max(2, image.width // 120))
    out.paste((70, 70, 70), (0, 0), band.filter(ImageFilter.GaussianBlur(image.width / 150)))
    return out


def hand(rng, shot, inside):
    """Fingers that hold the page at an edge, or lie on it."""
    size = shot.image.size
    side = rng.randrange(4)
    a, b = shot.quad[side], shot.quad[(side + 1) % 4]
    share = rng.uniform(0.2, 0.8)
    edge = (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
    centre = (sum(x for x, _ in shot.quad) / 4, sum(y for _, y in shot.quad) / 4)
    depth = rng.uniform(0.28, 0.5) if inside else rng.uniform(0.0, 0.05)
    tip = (edge[0] + (centre[0] - edge[0]) * depth, edge[1] + (centre[1] - edge[1]) * depth)
    out = (edge[0] - (centre[0] - edge[0]) * 0.8, edge[1] - (centre[1] - edge[1]) * 0.8)
    layer, mask = surface.finger(rng, size, tip, out, size[0] * (rng.uniform(0.09, 0.14) if inside else rng.uniform(0.06, 0.1)))
    return layer, (0, 0), mask


def shadow(rng, image):
    wide, high = image.size
    layer = Image.new("L", image.size, 255)
    x, lean = rng.uniform(0.1, 0.9) * wide, rng.uniform(-0.4, 0.4) * wide
    ImageDraw.Draw(layer).polygon([(x, 0), (x + lean, high), (wide * 2, high), (wide * 2, 0)], fill=rng.randint(120, 190))
    layer = layer.filter(ImageFilter.GaussianBlur(wide / 60))
    if rng.random() < 0.5:
        layer = layer.transpose(Image.FLIP_LEFT_RIGHT)
    return ImageChops.multiply(image, Image.merge("RGB", (layer,) * 3))


def glare(rng, image, shot):
    """Light of a lamp on the page: nothing left to read in its middle."""
    layer = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(layer)
    u, v = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75)
    (x, y), = moved(homography(corners((0, 0, 1, 1)), shot.quad), [(u, v)])
    side = math.dist(shot.quad[0], shot.quad[1])
    for scale, light in ((1.7, 90), (1.25, 190), (1.0, 255)):
        rx, ry = side * rng.uniform(0.11, 0.2) * scale, side * rng.uniform(0.07, 0.14) * scale
        pen.ellipse([x - rx, y - ry, x + rx, y + ry], fill=light)
    layer = layer.rotate(rng.uniform(-40, 40), center=(x, y)).filter(ImageFilter.GaussianBlur(side / 45))
    out = image.copy()
    out.paste((255, 255, 252), (0, 0), layer)
    return out


def cut(rng, shot):
    """The picture ends inside the page on one or two sides."""
    (x0, y0), (x1, y1) = [(f(x for x, _ in shot.quad), f(y for _, y in shot.quad)) for f in (min, max)]
    wide, high = x1 - x0, y1 - y0
    box = [0, 0, *shot.image.size]
    for side in rng.sample(range(4), rng.choice((1, 1, 2))):
        depth = rng.uniform(0.06, 0.2)
        box[side] = round((x0 + wide * depth, y0 + high * depth, x1 - wide * depth, y1 - high * depth)[side])
    shot.image = shot.image.crop(box)
    shot.quad = [(x - box[0], y - box[1]) for x, y in shot.quad]
    a, b, c, d, e, f, g, h = shot.to_image
    shot.to_image = [a - box[0] * g, b - box[0] * h, c - box[0], d - box[1] * g, e - box[1] * h, f - box[1], g, h]
    shot.quality, shot.authenticity = ["cut"], ["out_of_frame"]
    return shot


def photocopy(rng, image):
    """Grey, hard, with specks, streaks and the dark edge of the lid."""
    wide, high = image.size
    dx, dy = round(wide * rng.uniform(0.02, 0.2)), round(high * rng.uniform(0.02, 0.25))
    canvas = Image.new("RGB", (wide + 2 * dx, high + 2 * dy), (250, 250, 250))
    angle = math.radians(rng.uniform(-2, 2))
    cx, cy = canvas.width / 2, canvas.height / 2
    quad = [(cx + (x - cx) * math.cos(angle) - (y - cy) * math.sin(angle), cy + (x - cx) * math.sin(angle) + (y - cy) * math.cos(angle)) for x, y in corners((dx, dy, dx + wide, dy + high))]
    grey = image.convert("L").point(lambda v, g=rng.uniform(1.15, 1.6), lift=rng.randint(-20, 20): max(0, min(255, int((v - 128) * g + 128 + lift))))
    shot = placed(rng, grey.convert("RGB"), canvas, quad)
    pen = ImageDraw.Draw(shot.image)
    for _ in range(rng.randint(20, 200)):
        x, y, s = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height), rng.uniform(0.5, 2)
        pen.ellipse([x, y, x + s, y + s], fill=(rng.randint(0, 120),) * 3)
    for _ in range(rng.choice((0, 0, 1, 2))):
        x = rng.uniform(0, canvas.width)
        pen.line([(x, 0), (x + rng.uniform(-5, 5), canvas.height)], fill=(rng.randint(140, 200),) * 3)
    if rng.random() < 0.4:
        pen.rectangle([0, 0, canvas.width, rng.uniform(2, 12)], fill=(20, 20, 20))
    grain = surface.noise(rng, canvas.size, rng.uniform(2, 7))
    shot.image = ImageChops.add(shot.image.convert("L"), grain, offset=-128).filter(ImageFilter.GaussianBlur(wide / 2600)).convert("RGB")
    shot.authenticity, shot.jpeg = ["photocopy"], rng.randint(70, 90)
    return shot


def screen(rng, image):
    """Photographed off a monitor or telephone: bezel, rows of pixels, interference, cold light."""
    wide, high = image.size
    size, quad = hand_held(rng, image.size, (0.1, 0.2), 0.018, rng.uniform(-3, 3))
    canvas = surface.table(rng, size)
    frame = homography(corners((0, 0, wide, high)), quad)
    bezel, edge = rng.uniform(0.045, 0.09), rng.uniform(0.012, 0.03)
    pen = ImageDraw.Draw(canvas)
    pen.polygon(moved(frame, corners((-wide * bezel, -wide * bezel, wide * (1 + bezel), high + wide * bezel))), fill=(rng.randint(8, 34),) * 3)
    lit = tuple(rng.choice(((235, 238, 244), (40, 42, 48), (0, 0, 0), (255, 255, 255))))
    pen.polygon(moved(frame, corners((-wide * edge, -wide * edge, wide * (1 + edge), high + wide * edge))), fill=lit)
    shot = placed(rng, ImageEnhance.Contrast(image).enhance(rng.uniform(0.9, 1.15)), canvas, quad)
    out = shot.image
    for _ in range(rng.choice((1, 2))):  # interference of two grids: slow waves across the picture
        pitch, angle, strong = rng.uniform(4, 26) * wide / 1000, rng.uniform(0, math.pi), rng.uniform(7, 20)
        out = ImageChops.add(out, waves(size, pitch, angle, strong, rng), offset=-128)
    rows = Image.new("L", (1, size[1]))
    rows.putdata([255 if y % 3 else 255 - rng.randint(10, 34) for y in range(size[1])])
    out = ImageChops.multiply(out, Image.merge("RGB", (rows.resize(size),) * 3))
    r, g, b = out.split()
    out = Image.merge("RGB", (r.point(lambda v, d=rng.uniform(0.88, 1.0): int(v * d)), g, b.point(lambda v, d=rng.uniform(1.0, 1.1): min(255, int(v * d)))))
    shot.image = out.filter(ImageFilter.GaussianBlur(wide / 1000 * rng.uniform(0.3, 0.7)))
    shot.authenticity, shot.jpeg = ["screen_recapture"], rng.randint(70, 88)
    return shot


def waves(size, pitch, angle, strong, rng):
    """Stripes of `pitch` pixels at an angle, a little different in each colour."""
    side = int(math.hypot(*size)) + 2
    bands = []
    for colour in range(3):
        line = Image.new("L", (side, 1))
        line.putdata([int(128 + strong * math.sin(2 * math.pi * x / pitch + colour * 0.9)) for x in range(side)])
        tile = line.resize((side, side)).rotate(math.degrees(angle), fillcolor=128)
        left, top = (side - size[0]) // 2, (side - size[1]) // 2
        bands.append(tile.crop((left, top, left + size[0], top + size[1])))
    return Image.merge("RGB", bands)


def seal_over(rng, page):
    """A seal in the middle of one or two fields."""
    names = [name for name, box in page.boxes.items() if box[2] - box[0] > 30]
    for name in rng.sample(names, min(len(names), rng.choice((1, 2)))):
        left, top, right, bottom = (v / page.unit for v in page.boxes[name])
        ornament.seal(page, rng.uniform(left, right), (top + bottom) / 2 + rng.uniform(-15, 15), rng.uniform(60, 110), rng.choice(("某某市好店商贸有限公司", "样本科技有限公司", "某区公安局")), rng.randint(110, 215))


def watermark(rng, page):
    """A purpose written across, as people do on copies they hand out."""
    text = rng.choice(PURPOSES)
    wide, high = page.image.size
    size = wide * rng.uniform(0.026, 0.06)
    shade = rng.randint(80, 150)
    fill = rng.choice(((shade, shade, shade), (shade, shade, shade), (200, 40, 40), (50, 80, 190))) + (rng.randint(55, 130),)
    used = font(rng.choice(("sans", "sans_bold", "serif")), size)
    side = round(math.hypot(wide, high))
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    if rng.random() < 0.7:
        for row, y in enumerate(range(0, side, round(size * rng.uniform(3.2, 6)))):
            for x in range(-round(size * 3) * (row % 2), side, round(used.getlength(text) + size * rng.uniform(1.5, 3))):
                pen.text((x, y), text, font=used, fill=fill)
    else:
        pen.text((side / 2, side / 2), text, font=font("sans_bold", min(size * 1.6, side * 0.8 / len(text))), fill=fill, anchor="mm")
    layer = layer.rotate(rng.choice((-30, -20, 15, 25, 30, 40, 0)), resample=Image.BICUBIC)
    left, top = (side - wide) // 2, (side - high) // 2
    page.over(layer.crop((left, top, left + wide, top + high)))
    page.watermark = text
