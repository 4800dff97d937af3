"""The three plain pages that tests and the demonstration are drawn from: one layout each, always with 样本 across."""
import math

from PIL import Image, ImageDraw

from ..fonts import font
from . import data


class Page:
    """A sheet to draw on, in units of 1/1000 of its width."""

    def __init__(self, rng, width, height, paper):
        self.rng = rng
        self.unit = width / 1000
        self.image = Image.new("RGB", (width, height), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.tall = height / self.unit

    def text(self, x, y, text, size, face="sans", fill=(20, 20, 20), spacing=0.0, anchor="la"):
        used = font(face, size * self.unit)
        if spacing == 0.0:
            self.draw.text((x * self.unit, y * self.unit), text, font=used, fill=fill, anchor=anchor)
            return
        for char in text:
            self.draw.text((x * self.unit, y * self.unit), char, font=used, fill=fill)
            x += used.getlength(char) / self.unit + spacing * size

    def justified(self, x, y, text, size, chars, **style):
        """A label spread over the width of `chars` characters, as forms set short labels."""
        gap = (chars - len(text)) / max(1, len(text) - 1) if len(text) < chars else 0.0
        self.text(x, y, text, size, spacing=gap, **style)

    def wrapped(self, x, y, text, size, width, leading, face="sans", fill=(20, 20, 20)):
        """Returns how many lines it took."""
        lines = wrap(text, font(face, size * self.unit), width * self.unit)
        for number, line in enumerate(lines):
            self.text(x, y + number * size * leading, line, size, face, fill)
        return len(lines)

    def line(self, points, fill=(60, 60, 60), width=1.2):
        self.draw.line([(x * self.unit, y * self.unit) for x, y in points], fill=fill, width=max(1, round(width * self.unit)))

    def guilloche(self, colour, step):
        """Fine waves in the paper."""
        for row in range(0, int(self.tall) + 40, step):
            points = [(x, row + 9 * math.sin(x / 47 + row / 31)) for x in range(0, 1001, 8)]
            self.line(points, fill=colour, width=0.8)

    def over(self, layer):
        self.image = Image.alpha_composite(self.image.convert("RGBA"), layer).convert("RGB")
        self.draw = ImageDraw.Draw(self.image)

    def seal(self, x, y, radius, name, alpha):
        """A round red seal: ring, star, and the name round the ring."""
        layer = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        pen = ImageDraw.Draw(layer)
        ink = (215, 30, 35, alpha)
        u = self.unit
        cx, cy, r = x * u, y * u, radius * u
        pen.ellipse([cx - r, cy - r, cx + r, cy + r], outline=ink, width=max(2, round(r * 0.045)))
        star = [(cx + (r * 0.3 if i % 2 == 0 else r * 0.12) * math.sin(i * math.pi / 5),
                 cy - (r * 0.3 if i % 2 == 0 else r * 0.12) * math.cos(i * math.pi / 5)) for i in range(10)]
        pen.polygon(star, fill=ink)
        used = font("serif_bold", r * 0.24)
        span = math.radians(min(260, 20 * len(name)))
        for number, char in enumerate(name):
            angle = -span / 2 + span * number / max(1, len(name) - 1)
            tile = Image.new("RGBA", (round(r * 0.34),) * 2, (0, 0, 0, 0))
            ImageDraw.Draw(tile).text((r * 0.17, r * 0.17), char, font=used, fill=ink, anchor="mm")
            tile = tile.rotate(-math.degrees(angle), resample=Image.BICUBIC)
            at = (round(cx + r * 0.78 * math.sin(angle) - r * 0.17), round(cy - r * 0.78 * math.cos(angle) - r * 0.17))
            layer.alpha_composite(tile, (max(0, at[0]), max(0, at[1])))
        self.over(layer)

    def specimen_mark(self):
        """样本, large, pale and diagonal."""
        layer = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        size = min(self.image.size) * self.rng.uniform(0.34, 0.44)
        shade = self.rng.randint(120, 150)
        fill = (shade, shade, shade, self.rng.randint(52, 72))
        text = Image.new("RGBA", (round(size * 2.6), round(size * 1.5)), (0, 0, 0, 0))
        ImageDraw.Draw(text).text((size * 1.3, size * 0.75), "样本", font=font("sans_bold", size), fill=fill, anchor="mm")
        text = text.rotate(self.rng.uniform(18, 32), expand=True, resample=Image.BICUBIC)
        w, h = self.image.size
        layer.alpha_composite(text, (max(0, (w - text.width) // 2), max(0, (h - text.height) // 2)))
        self.over(layer)


def wrap(text, used, width):
    lines, line = [], ""
    for char in text:
        if line and used.getlength(line + char) > width:
            lines.append(line)
            line = ""
        line += char
    return lines + [line] if line else lines


def id_front(rng, person):
    width = rng.choice((1000, 1150, 1300))
    paper = rng.choice(((228, 238, 245), (235, 240, 238), (222, 234, 244), (240, 243, 240)))
    page = Page(rng, width, round(width / 1.585), paper)
    page.guilloche(tuple(c - 14 for c in paper), rng.choice((16, 22, 30)))
    label_ink = rng.choice(((60, 110, 165), (50, 95, 150), (70, 120, 170)))
    face, label_face = rng.choice((("sans", "sans"), ("sans", "sans_bold"), ("serif_bold", "sans"), ("sans_bold", "sans")))
    left, top = rng.uniform(52, 78), rng.uniform(58, 84)
    pitch = rng.uniform(82, 92)
    label, value = rng.uniform(29, 32), rng.uniform(32, 36)
    column = left + rng.uniform(96, 112)

    def row(number, text, content, size=value):
        page.text(left, top + number * pitch + (value - label) * 0.7, text, label, label_face, label_ink, spacing=rng.choice((0.0, 0.12)))
        page.text(column, top + number * pitch, content, size, face)

    row(0, "姓名", person["name"], value * 1.12)
    row(1, "性别", person["sex"])
    page.text(left + 210, top + pitch + (value - label) * 0.7, "民族", label, label_face, label_ink)
    page.text(left + 210 + label * 2.5, top + pitch, person["ethnicity"], value, face)
    born = person["birth"]
    y = top + 2 * pitch
    page.text(left, y + (value - label) * 0.7, "出生", label, label_face, label_ink)
    x = column
    for number, unit in ((f"{born.year}", "年"), (f"{born.month}", "月"), (f"{born.day}", "日")):
        page.text(x, y, number, value, face)
        x += font(face, value * page.unit).getlength(number) / page.unit + value * 0.35
        page.text(x, y + (value - label) * 0.7, unit, label, label_face, label_ink)
        x += label * rng.uniform(1.5, 1.75)
    page.text(left, top + 3 * pitch + (value - label) * 0.7, "住址", label, label_face, label_ink)
    page.wrapped(column, top + 3 * pitch, person["address"], value, rng.uniform(395, 430), rng.uniform(1.28, 1.42), face)
    bottom = page.tall - rng.uniform(92, 108)
    page.text(left, bottom + 4, "公民身份号码", label, label_face, label_ink)
    page.text(left + label * 7.6 + rng.uniform(10, 30), bottom - 2, person["id_number"], value * 1.16, rng.choice(("sans", "sans_bold")), spacing=rng.choice((0.0, 0.10, 0.16)))
    portrait(page, rng, 655, rng.uniform(75, 95), 270, 340)
    page.specimen_mark()
    return page.image, {
        "name": person["name"], "sex": person["sex"], "ethnicity": person["ethnicity"], "birth_date": born.isoformat(),
        "address": person["address"], "id_number": person["id_number"],
    }


def portrait(page, rng, x, y, width, height):
    """A head and shoulders of no one."""
    u = page.unit
    w, h = round(width * u), round(height * u)
    tile = Image.new("RGB", (w, h), (246, 247, 248))
    pen = ImageDraw.Draw(tile)
    skin = rng.choice(((226, 190, 165), (214, 176, 150), (233, 200, 178)))
    pen.ellipse([w * 0.08, h * 0.66, w * 0.92, h * 1.34], fill=(62, 66, 84))
    pen.ellipse([w * 0.28, h * 0.18, w * 0.72, h * 0.72], fill=skin)
    pen.chord([w * 0.26, h * 0.12, w * 0.74, h * 0.6], 180, 360, fill=(38, 34, 33))
    page.image.paste(tile, (round(x * u), round(y * u)))


def deed_new(rng, deed):
    width = rng.choice((1200, 1350, 1500))
    paper = rng.choice(((250, 246, 234), (248, 248, 244), (252, 244, 240), (245, 247, 240)))
    page = Page(rng, width, round(width * rng.uniform(1.18, 1.32)), paper)
    page.guilloche(tuple(c - 9 for c in paper), rng.choice((24, 34)))
    face = rng.choice(("sans", "serif", "serif_bold", "sans"))
    label_face = rng.choice(("sans", "serif_bold", "sans_bold"))
    size = rng.uniform(23.5, 26.5)
    left, right = rng.uniform(52, 75), 1000 - rng.uniform(52, 75)
    split = left + rng.uniform(158, 186)
    y = rng.uniform(58, 80)
    page.text(rng.uniform(320, 420), y, deed["number"], size * 1.1, face)
    y += size * rng.uniform(2.4, 3.0)
    rows = [("权利人", deed["holder"]), ("共有情况", deed["co_ownership"]), ("坐落", deed["location"]),
            ("不动产单元号", deed["unit_code_printed"]), ("权利类型", deed["right_type"]), ("权利性质", deed["right_nature"]),
            ("用途", deed["use"]), ("面积", deed["area"]), ("使用期限", deed["term"]), ("权利其他状况", deed["other"])]
    justify = rng.random() < 0.5
    top = y
    for label, content in rows:
        used = font(face, size * page.unit)
        lines = [part for block in content.split("\n") for part in wrap(block, used, (right - split - 40) * page.unit)]
        pad = size * rng.uniform(0.62, 0.8)
        leading = size * 1.36
        height = pad * 2 + leading * (len(lines) - 1) + size * 1.15
        page.line([(left, y), (right, y)])
        label_y = y + height / 2 - size * 0.62
        if justify and len(label) < 6:
            page.justified(left + 14, label_y, label, size, min(6, len(label) + 2), face=label_face)
        else:
            page.text((left + split) / 2, y + height / 2, label, size, label_face, anchor="mm")
        for number, line in enumerate(lines):
            page.text(split + 20, y + pad + number * leading - size * 0.1, line, size, face)
        y += height
    page.line([(left, y), (right, y)])
    for x in (left, split, right):
        page.line([(x, top), (x, y)])
    if rng.random() < 0.4:
        page.seal(rng.uniform(640, 800), rng.uniform(y - 190, y - 90), rng.uniform(88, 105), deed["registrar"], rng.randint(110, 150))
    page.specimen_mark()
    keys = ("number", "holder", "co_ownership", "location", "unit_code", "right_type", "right_nature", "use", "area", "floor_area", "term")
    return page.image, {key: deed[key] for key in keys}


def business_licence(rng, company):
    width = rng.choice((1400, 1600, 1800))
    paper = rng.choice(((253, 249, 238), (250, 250, 248), (248, 246, 236)))
    page = Page(rng, width, round(width * rng.uniform(0.68, 0.74)), paper)
    page.guilloche(tuple(c - 8 for c in paper), rng.choice((26, 36)))
    gold = rng.choice(((178, 140, 72), (190, 150, 90), (150, 120, 60)))
    for inset, line in ((14, 3), (24, 1.2)):
        page.line([(inset, inset), (1000 - inset, inset), (1000 - inset, page.tall - inset), (inset, page.tall - inset), (inset, inset)], gold, line)
    u = page.unit
    page.draw.ellipse([475 * u, 40 * u, 525 * u, 90 * u], fill=(200, 40, 35))
    title_ink = rng.choice(((30, 30, 30), (60, 40, 20), (120, 90, 40)))
    page.text(500 - 118, 102, "营业执照", 54, "serif_bold", title_ink, spacing=0.13)
    copy = rng.choice(("（副　本）", "（副本）", ""))
    if copy:
        page.text(500, 186, copy, 19, "serif", anchor="mm")
    face = rng.choice(("sans", "serif", "sans", "serif_bold"))
    label_face = rng.choice(("sans_bold", "serif_bold", "sans"))
    size = rng.uniform(15.2, 17.2)
    left = rng.uniform(62, 84)
    code_size = size * rng.uniform(0.98, 1.2)
    page.text(left, 88, "统一社会信用代码", code_size, label_face)
    page.text(left, 88 + code_size * 1.75, company["code"], code_size * 1.12, rng.choice(("sans", "sans_bold")))
    qr(page, rng, 850, 70, 84)
    middle = rng.uniform(575, 610)
    value_left = left + size * rng.uniform(6.1, 6.8)
    value_middle = middle + size * rng.uniform(5.2, 5.8)
    top = rng.uniform(222, 242)
    pitch = size * rng.uniform(2.25, 2.6)
    leading = rng.uniform(1.34, 1.45)
    justify = rng.random() < 0.75

    def put(x, y, text, chars):
        if justify:
            page.justified(x, y, text, size, chars, face=label_face)
        else:
            page.text(x, y, text, size, label_face)

    y = top
    for label, content in (("名称", company["name"]), ("类型", company["kind"]), (company["legal_label"], company["legal_person"])):
        put(left, y, label, 5)
        lines = page.wrapped(value_left, y, content, size, middle - value_left - 30, leading, face)
        y += pitch + (lines - 1) * size * leading
    put(left, y, "经营范围", 5)
    page.wrapped(value_left, y, company["scope"], size, middle - value_left - 30, leading, face)
    y = top
    for label, content in (("注册资本", company["capital"]), ("成立日期", company["established_printed"]),
                           *((("营业期限", company["term"]),) if company["term"] else ()), ("住所", company["address"])):
        put(middle, y, label, 4)
        lines = page.wrapped(value_middle, y, content, size, 1000 - value_middle - 50, leading, face)
        y += pitch + (lines - 1) * size * leading
    foot = page.tall - rng.uniform(128, 146)
    page.text(rng.uniform(600, 640), foot, "登记机关", size * 1.15, label_face, spacing=rng.choice((0.1, 0.4)))
    issued = company["issued"]
    page.text(rng.uniform(690, 730), foot + size * 2.7, f"{issued.year} 年 {issued.month:02} 月 {issued.day:02} 日", size * 1.05, face)
    page.text(40, page.tall - 44, "国家企业信用信息公示系统网址：", size * 0.72, "sans")
    page.text(960, page.tall - 44, "国家市场监督管理总局监制", size * 0.72, "sans", anchor="ra")
    page.seal(rng.uniform(790, 850), foot - rng.uniform(0, 20), 62, company["registrar"], rng.randint(120, 170))
    page.specimen_mark()
    keys = ("code", "name", "kind", "legal_person", "capital", "address", "scope")
    claims = {key: company[key] for key in keys}
    claims["established"] = company["established"].isoformat()
    if company["term"]:
        claims["term"] = company["term"]
    return page.image, claims


def qr(page, rng, x, y, side):
    """Something that looks like a two-dimensional code and holds nothing."""
    cells = 25
    step = side * page.unit / cells
    for row in range(cells):
        for column in range(cells):
            corner = any(row in r and column in c for r, c in ((range(7), range(7)), (range(7), range(18, 25)), (range(18, 25), range(7))))
            if (corner and (row in (0, 6, 18, 24) or column in (0, 6, 18, 24))) or (not corner and rng.random() < 0.48):
                left, top = x * page.unit + column * step, y * page.unit + row * step
                page.draw.rectangle([left, top, left + step, top + step], fill=(20, 20, 20))


RENDER = {"id_front": id_front, "deed_new": deed_new, "business_licence": business_licence}
