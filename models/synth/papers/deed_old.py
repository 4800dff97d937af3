"""Deeds before 2015: 房屋所有权证 and 房地产权证 in several forms of the 1990s to 2015."""
from .. import ornament, values
from ..data import places, wording

PAPERS = ((250, 240, 226), (246, 236, 222), (248, 244, 232), (244, 240, 236), (252, 238, 232), (238, 242, 232))


def _number(look, where, year):
    rng = look.rng
    code, short, province, city, district = where
    town = rng.choice((city[0], city.removesuffix("市")[:2], city[0]))
    area = rng.choice(("监证", "监", district[0], district[:2], "权", "新", "产", ""))
    forms = (
        f"{town}房权证{area}字第{rng.randint(100000, 9999999)}号", f"{town}房权证{area}字第{rng.randint(1, 99):02}-{rng.randint(1, 9999):04}号", f"{town}房地权证{area}字第{rng.randint(100000, 99999999)}号",
        f"{short}房地{area[:1]}字（{year}）第{rng.randint(1, 999999):06}号", f"{town}房权证{district.removesuffix('区')}字第{rng.randint(10**9, 10**10 - 1)}号", f"{short}房权证{town}{area}字第{rng.randint(10000, 999999)}号",
        f"{town}房字第{rng.randint(10000, 9999999)}号", f"{town}房产证字第{rng.randint(1000, 999999)}号", f"{town}房地字第{rng.randint(3000000000, 6999999999)}号", f"{short}({year})房地产权第{rng.randint(1, 999999):06}号",
        f"{district}房权证{year}字第{rng.randint(1000, 99999)}号",
    )
    return rng.choice(forms)


def facts_of(look):
    rng = look.rng
    where = values.place(rng, look.held)
    _, _, province, city, district = where
    registered = values.day(rng, 1992, 2015)
    owners = [values.name(rng, look.held)[0] for _ in range(rng.choice((1, 1, 1, 2)))]
    area = rng.randint(2800, 21000) / 100
    floors = rng.randint(2, 33)
    at = rng.randint(1, floors)
    unit = rng.choice(("", "", "平方米", "㎡"))
    date = rng.choice((values.chinese_day(registered), values.chinese_day(registered, False), f"{registered:%Y-%m-%d}", values.dotted_day(registered)))
    nature = rng.choice(("商品房", "私产", "私有房产", "房改房", "存量房", "经济适用房", "私有", "集资房", "自建房", "拆迁安置房"))
    location = rng.choice((city + district, district, district, "")) + f"{values.road(rng, look.held)}{rng.randint(1, 399)}号{values.pick(rng, places.ESTATES, look.held)}{values.flat(rng)}"
    return {
        "deed_number": _number(look, where, registered.year), "owner": rng.choice(("、", " ")).join(owners), "co_ownership": "单独所有" if len(owners) == 1 else rng.choice(("共同共有", "按份共有")),
        "location": location, "area": f"{area:.2f}{unit}", "inner_area": f"{area * rng.uniform(0.74, 0.9):.2f}{unit}", "structure": values.pick(rng, wording.STRUCTURES, False), "total_floors": str(floors), "floor": str(at),
        "nature": nature, "use": rng.choice(("住宅", "成套住宅", "商业", "商业用房", "非住宅", "办公", "车库", "住宅", "铺面")), "registration_date": date,
        "issue_date": values.chinese_day(registered, look.chance(0.5), rng.choice(("", " "))),
    }, where, registered


class Sheet:
    """Cells with labels of the form and values typed, written or printed into them."""

    def __init__(self, look, page, size):
        self.look, self.page, self.size = look, page, size
        rng = look.rng
        self.ink = rng.choice(((170, 50, 50), (60, 60, 60), (120, 80, 60), (40, 40, 40), (150, 70, 50)))
        self.label_ink = self.ink if look.chance(0.4) else (30, 30, 30)
        self.label_face = look.face("serif", "sans", "serif_bold", "song", "ming", "kai")
        self.face = look.face("sans", "serif", "zenhei", "kai", "wenkai", "song", "kai_gb", "microhei")
        self.value_ink = rng.choice(((20, 20, 20), (30, 30, 60), (50, 50, 50)))
        self.needle = look.chance(0.25)
        self.off = (look.between(-6, 8), look.between(-6, 6))

    def label(self, left, top, right, bottom, text, across=False):
        page = self.page
        page.box(left, top, right, bottom, outline=self.ink, width=1.3)
        if across:  # one character below the other
            size = min(self.size, (bottom - top - 8) / (len(text) * 1.15), (right - left) * 0.8)
            for number, char in enumerate(text):
                page.text((left + right) / 2, (top + bottom) / 2 + (number - len(text) / 2) * size * 1.15, char, size, self.label_face, self.label_ink, anchor="m")
            return
        parts = text.split("\n")
        for number, part in enumerate(parts):
            size = min(self.size, self.size * (right - left - 6) / page.length(part, self.size, self.label_face))
            page.text((left + right) / 2, (top + bottom) / 2 - size * 0.62 * len(parts) + number * size * 1.2, part, size, self.label_face, self.label_ink, anchor="m")

    def value(self, left, top, right, bottom, name, text, centre=False):
        page = self.page
        page.box(left, top, right, bottom, outline=self.ink, width=1.3)
        if not text:
            return
        if name:
            page.field(name, text)
        size = self.size
        lines = page.lines(text, size, self.face, right - left - 12)
        if len(lines) > 1 and right - left < 150:
            size *= max(0.62, (right - left - 12) / page.length(text, size, self.face))
            lines = page.lines(text, size, self.face, right - left - 10)
        page.dots = self.needle
        high = min(size * 1.28, (bottom - top - 2) / len(lines))
        y = (top + bottom) / 2 - high * len(lines) / 2 + self.off[1]
        for number, line in enumerate(lines):
            x = (left + right) / 2 if centre else left + 8 + self.off[0]
            page.text(x, y + number * high, line, min(size, high), self.face, self.value_ink, anchor="m" if centre else "l", field=name)
        page.dots = False


def _seal(look, page, where, x, y):
    if look.chance(0.75):
        name = f"{where[3]}{look.rng.choice(('房产管理局', '房地产管理局', '人民政府', '住房和城乡建设局', '国土资源和房屋管理局'))}"
        ornament.seal(page, x, y, look.between(70, 105), name, look.rng.randint(90, 170))


def _paper(look, tall, pixels=(1200, 1800)):
    page = look.sheet(tall, look.rng.choice(PAPERS), pixels)
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, look.rng.randint(5, 14)))
    if look.chance(0.3):
        ornament.border(page, look.rng.choice(((180, 60, 50), (190, 150, 90), (130, 130, 110))), look.between(12, 24), 5)
    return page


def red_table(look):
    """The form of 2008: a row per fact, then the tables 房屋状况 and 土地状况."""
    facts, where, _ = facts_of(look)
    rng = look.rng
    page = _paper(look, look.between(1120, 1380))
    sheet = Sheet(look, page, look.between(22, 26))
    left, right = look.between(44, 74), 1000 - look.between(44, 74)
    y = look.between(46, 80)
    page.text(look.between(left + 20, 300), y, facts["deed_number"], sheet.size * 1.12, sheet.face, field="deed_number")
    page.field("deed_number", facts["deed_number"])
    y += sheet.size * 2.3
    split = left + look.between(170, 215)
    high = look.between(54, 72)
    for label, name in (("房屋所有权人", "owner"), ("共有情况", "co_ownership"), ("房屋坐落", "location"), ("登记时间", "registration_date"), ("房屋性质", "nature"), ("规划用途", "use")):
        sheet.label(left, y, split, y + high, label)
        sheet.value(split, y, right, y + high, name, facts[name])
        y += high
    side = left + look.between(52, 70)
    columns = (("总层数", "total_floors"), ("建筑面积\n（m²）", "area"), ("套内建筑面积\n（m²）", "inner_area"), ("其  他", None))
    if look.chance(0.5):
        columns = (("总层数", "total_floors"), ("所在层", "floor"), ("结构", "structure"), ("建筑面积\n（平方米）", "area"), ("套内建筑面积\n（平方米）", "inner_area"))
    count = rng.choice((1, 1, 2))
    sheet.label(left, y, side, y + high * (1 + count), "房屋状况", across=True)
    wide = (right - side) / len(columns)
    for at, (label, name) in enumerate(columns):
        sheet.label(side + at * wide, y, side + (at + 1) * wide, y + high, label)
        for row in range(count):
            content = facts[name] if name and row == 0 else rng.choice(("", f"{facts['structure']}")) if row == 0 else ""
            given = name or ("structure" if content else None)
            sheet.value(side + at * wide, y + (1 + row) * high, side + (at + 1) * wide, y + (2 + row) * high, given if row == 0 else None, content, centre=True)
    y += high * (1 + count)
    sheet.label(left, y, side, y + high * 2.2, "土地状况", across=True)
    for at, label in enumerate(("地  号", "土地使用权取得方式", "土地使用年限")):
        wide = (right - side) / 3
        sheet.label(side + at * wide, y, side + (at + 1) * wide, y + high, label)
        content = (rng.choice(("", f"{rng.randint(1, 30)}-{rng.randint(1, 20)}-{rng.randint(1, 300)}")), rng.choice(("出让", "划拨", "")), rng.choice(("", "2001年至2071年止", "/")))[at]
        sheet.value(side + at * wide, y + high, side + (at + 1) * wide, y + high * 2.2, None, content, centre=True)
    y += high * 2.2
    if y < page.tall - 100:
        page.box(left, y, right, min(page.tall - 40, y + look.between(120, 220)), outline=sheet.ink)
        page.text(left + 16, y + 16, "附记", sheet.size, sheet.label_face, sheet.label_ink)
        page.text(left + 120, y + 18, rng.choice(("以下空白", "买卖", f"产权来源：购买  丘号：{rng.randint(100, 9999)}", "")), sheet.size, sheet.face)
    _seal(look, page, where, look.between(650, 830), min(y - look.between(0, 120), page.tall - 110))
    return page


def columns_1990s(look):
    """The form of 1998: owner above, then a table with a column per fact, 发证机关 and date below."""
    facts, where, registered = facts_of(look)
    rng = look.rng
    page = _paper(look, look.between(690, 800))
    sheet = Sheet(look, page, look.between(18, 22))
    left, right = look.between(36, 60), 1000 - look.between(36, 60)
    y = look.between(30, 52)
    if look.chance(0.5):
        page.text(500, y, "房屋所有权证", sheet.size * 1.9, look.face("serif_bold", "song", "kai"), sheet.ink, anchor="m", spacing=0.2)
        y += sheet.size * 2.8
    page.text(look.between(420, 600), y, facts["deed_number"], sheet.size * 1.1, sheet.face, field="deed_number")
    page.field("deed_number", facts["deed_number"])
    y += sheet.size * 1.9
    high = look.between(48, 62)
    split, second = left + look.between(140, 175), left + (right - left) * look.between(0.5, 0.6)
    sheet.label(left, y, split, y + high, "房屋所有权人")
    sheet.value(split, y, second, y + high, "owner", facts["owner"])
    third = second + look.between(100, 130)
    label, name = rng.choice((("产别", "nature"), ("共有情况", "co_ownership"), ("房屋性质", "nature")))
    sheet.label(second, y, third, y + high, label)
    sheet.value(third, y, right, y + high, name, facts[name])
    y += high
    sheet.label(left, y, split, y + high, "房屋坐落")
    sheet.value(split, y, right, y + high, "location", facts["location"])
    y += high
    columns = [("幢号", None), ("房号", None), ("结构", "structure"), ("房屋\n总层数", "total_floors"), ("所在\n层数", "floor"), ("建筑面积\n（平方米）", "area"), ("设计用途", "use")]
    side = left + look.between(46, 60)
    rows = rng.choice((2, 3))
    sheet.label(left, y, side, y + high * (rows + 1), "房屋状况", across=True)
    wide = (right - side) / len(columns)
    for at, (label, name) in enumerate(columns):
        sheet.label(side + at * wide, y, side + (at + 1) * wide, y + high, label)
        for row in range(rows):
            content = "" if row else facts[name] if name else str(rng.randint(1, 40))
            sheet.value(side + at * wide, y + (row + 1) * high, side + (at + 1) * wide, y + (row + 2) * high, name, content, centre=True)
    y += high * (rows + 1)
    sheet.label(left, y, split, y + high, "共有人    等  人" if look.chance(0.5) else "共有权证号")
    sheet.value(split, y, right, y + high, None, "")
    y += high
    _foot(look, page, sheet, facts, where, right, y, "填发日期")
    return page


def _foot(look, page, sheet, facts, where, right, y, word):
    at = min(y + look.between(30, 60), page.tall - 70)
    page.text(500, at, look.rng.choice(("填发单位（盖章）", "发证机关（盖章）", "填发机关")), sheet.size, sheet.label_face, sheet.label_ink)
    page.text(500, at + sheet.size * 1.6, word + "：", sheet.size, sheet.label_face, sheet.label_ink)
    page.text(500 + sheet.size * 5.4, at + sheet.size * 1.6, facts["issue_date"], sheet.size, sheet.face, sheet.value_ink, field="issue_date")
    page.field("issue_date", facts["issue_date"])
    _seal(look, page, where, look.between(660, 820), at)


def estate_certificate(look):
    """房地产权证 of Guangdong, Shanghai and others: land and house in one table of two columns."""
    facts, where, _ = facts_of(look)
    rng = look.rng
    upright = look.chance(0.6)
    page = _paper(look, look.between(1180, 1380) if upright else look.between(700, 780))
    sheet = Sheet(look, page, look.between(21, 25) if upright else look.between(16, 19))
    left, right = look.between(40, 70), 1000 - look.between(40, 70)
    y = look.between(40, 60)
    page.text(500, y, "房地产权证", sheet.size * 1.8, look.face("serif_bold", "song", "kai"), sheet.ink, anchor="m", spacing=0.2)
    y += sheet.size * 2.7
    page.text(right - 8, y, facts["deed_number"], sheet.size * 1.05, sheet.face, anchor="r", field="deed_number")
    page.field("deed_number", facts["deed_number"])
    y += sheet.size * 1.9
    high = look.between(50, 66) if upright else look.between(38, 46)
    split, middle = left + look.between(140, 180), left + (right - left) / 2
    third = middle + look.between(140, 180)
    top = [("权利人" if look.chance(0.6) else "房地产权利人", "owner"), (rng.choice(("房地坐落", "房地产座落", "坐落")), "location")]
    for label, name in top:
        sheet.label(left, y, split, y + high, label)
        sheet.value(split, y, right, y + high, name, facts[name])
        y += high
    pairs = [(("共有情况", "co_ownership"), ("房屋性质", "nature")), (("房屋结构", "structure"), (rng.choice(("规划用途", "用途", "房屋用途")), "use")), (("总层数", "total_floors"), (rng.choice(("所在层", "层次", "所在层数")), "floor")),
             (("建筑面积", "area"), (rng.choice(("套内建筑面积", "套内面积")), "inner_area")), (("登记时间", "registration_date"), (rng.choice(("土地使用权来源", "土地性质")), None))]
    for first, second in pairs:
        for x0, x1, x2, (label, name) in ((left, split, middle, first), (middle, third, right, second)):
            sheet.label(x0, y, x1, y + high, label)
            sheet.value(x1, y, x2, y + high, name, facts[name] if name else rng.choice(("出让", "国有", "")))
        y += high
    _foot(look, page, sheet, facts, where, right, y, rng.choice(("发证日期", "填发日期")))
    return page


def narrative(look):
    """The words of the certificate with owner, place and area written into them, as on old covers."""
    facts, where, _ = facts_of(look)
    rng = look.rng
    upright = look.chance(0.5)
    tall = look.between(1150, 1350) if upright else look.between(680, 760)
    page = _paper(look, tall)
    sheet = Sheet(look, page, look.between(26, 31) if upright else look.between(21, 25))
    size, face = sheet.size, sheet.label_face
    left = look.between(70, 120)
    y = tall * look.between(0.06, 0.12)
    page.text(500, y, rng.choice(("房屋所有权证", "房产所有证", "房屋所有权证")), size * 1.9, look.face("serif_bold", "song", "kai"), sheet.ink, anchor="m", spacing=0.25)
    y += size * 3.2
    page.text(rng.choice((left, 480)), y, facts["deed_number"], size, sheet.face, field="deed_number")
    page.field("deed_number", facts["deed_number"])
    y += size * 2.2
    law = "　　根据《中华人民共和国宪法》和《中华人民共和国城市房地产管理法》的规定，为保护房屋所有权人的合法权益，对所有权人申请登记的本证所列房产，经审查属实，特发此证。"
    y += page.wrapped(left, y, law, size, 1000 - 2 * left, 1.6, face) * size * 1.6 + size * 0.6
    for label, name, unit in (("房屋所有权人：", "owner", ""), ("房屋坐落：", "location", ""), ("建筑面积：", "area", ""), ("用途：", "use", "")):
        if y > tall - size * 6:
            break
        end = page.text(left + size * 1.2, y, label, size, face, sheet.label_ink)
        page.field(name, facts[name])
        fit = min(1.0, (960 - end) / page.length(facts[name], size, sheet.face))
        page.text(end + 10, y, facts[name], size * fit, sheet.face, sheet.value_ink, field=name)
        y += size * 1.75
    _foot(look, page, sheet, facts, where, 940, min(y, tall - size * 5), "填发日期")
    return page


LAYOUTS = {"red_table": red_table, "columns": columns_1990s, "estate": estate_certificate, "narrative": narrative}
