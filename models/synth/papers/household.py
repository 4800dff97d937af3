"""Household register: the page of the holder and the page of a member, print of a needle printer in a printed grid (1995 form)."""
from .. import ornament, values
from ..data import names, places, wording

GRIDS = ((60, 60, 60), (90, 110, 150), (150, 70, 70), (70, 120, 90), (120, 100, 80))
PAPERS = ((244, 240, 228), (236, 242, 236), (246, 240, 240), (238, 238, 232), (232, 240, 246))


class Form:
    """A table: labels printed with the form, values typed into it a little off their cells."""

    def __init__(self, look, page, size):
        self.look, self.page, self.size = look, page, size
        self.grid = look.rng.choice(GRIDS)
        self.label_face = look.face("serif", "sans", "ming", "song", "zenhei")
        self.face = look.face("sans", "serif", "ming", "zenhei", "song", "microhei")
        self.ink = look.rng.choice(((30, 30, 40), (50, 50, 80), (60, 60, 60), (20, 20, 20)))
        self.needle = look.chance(0.55)
        self.off = (look.between(-4, 8), look.between(-7, 7))
        self.label_ink = self.grid if look.chance(0.5) else (30, 30, 30)

    def cell(self, left, top, right, bottom):
        self.page.box(left, top, right, bottom, outline=self.grid, width=1.4)

    def label(self, left, top, right, bottom, text):
        """In the middle of its cell, over one or two lines."""
        self.cell(left, top, right, bottom)
        size = self.size * 0.92
        room = right - left - 8
        parts = text.split("\n")
        for number, part in enumerate(parts):
            fit = min(1.0, room / max(1.0, self.page.length(part, size, self.label_face)))
            y = (top + bottom) / 2 - size * 0.62 * len(parts) + number * size * 1.2
            if len(part) <= 3 and room > size * 5:
                self.page.justified((left + right) / 2 - size * 2.2, y, part, size, 4.4, self.label_face, self.label_ink)
            else:
                self.page.text((left + right) / 2, y, part, size * fit, self.label_face, self.label_ink, anchor="m")

    def value(self, left, top, right, bottom, text, field=None):
        self.cell(left, top, right, bottom)
        self.page.field(field, text) if field else None
        if not text:
            return
        page, size = self.page, self.size
        if len(text) == 18 and text[:17].isdigit():
            size *= min(1.0, (right - left - 18) / page.length(text, size, self.face))
        lines = page.lines(text, size, self.face, right - left - 14)
        high = min(size * 1.25, (bottom - top - 4) / len(lines))
        page.dots = self.needle
        y = (top + bottom) / 2 - high * len(lines) / 2 + self.off[1]
        for number, line in enumerate(lines):
            page.text(left + 10 + self.off[0], y + number * high, line, min(size, high), self.face, self.ink, field=field)
        page.dots = False


def _seals(look, page, where, tall):
    _, _, province, city, _ = where
    if look.chance(0.85):
        ornament.seal(page, look.between(600, 780), tall * look.between(0.55, 0.85), look.between(62, 88), values.police(where), look.rng.randint(80, 160), below="户口专用章")
    if look.chance(0.4):
        ornament.seal(page, look.between(240, 420), tall * look.between(0.55, 0.8), look.between(62, 88), f"{province or city}公安厅", look.rng.randint(80, 150), below="户口专用章")


def head(look, layout):
    rng = look.rng
    where = values.place(rng, look.held)
    person = values.person(rng, where, look.held)
    tall = look.between(650, 760) if layout != "upright" else look.between(1250, 1420)
    page = look.sheet(tall, rng.choice(PAPERS), (1100, 1600))
    ornament.guilloche(page, ornament.darker(page.image.getpixel((2, 2)), rng.randint(5, 14)))
    form = Form(look, page, look.between(23, 28))
    facts = {"household_type": rng.choice(("非农业家庭户口", "农业家庭户口", "家庭户", "非农业家庭户", "居民户", "居民家庭户", "集体户", "城镇家庭户口", "农业家庭户")), "head_name": person["name"],
             "household_number": rng.choice((f"{rng.randint(10_000_000, 999_999_999):09}", f"{rng.randint(1, 99_999):05}", f"{where[0]}{rng.randint(1, 999):03}")), "address": person["address"]}
    issued = values.day(rng, 1997, 2024)
    left, right = look.between(46, 80), 1000 - look.between(46, 80)
    y = look.between(60, 90)
    if layout == "titled":
        page.text(500, y - 34, rng.choice(("居民户口簿", "户口簿", "常住人口户口簿")), look.between(38, 46), look.face("serif_bold", "kai", "song"), anchor="m", spacing=0.3)
        y += 40
    rows = look.between(84, 108)
    a, b, c = left + look.between(110, 140), left + (right - left) * look.between(0.46, 0.54), 0
    c = b + look.between(110, 150)
    words = rng.choice((("户别", "户主姓名", "户号", "住址"), ("户别", "户主\n姓名", "户号", "住址"), ("户  别", "户主姓名", "户  号", "住  址")))
    form.label(left, y, a, y + rows, words[0])
    form.value(a, y, b, y + rows, facts["household_type"], "household_type")
    form.label(b, y, c, y + rows, words[1])
    form.value(c, y, right, y + rows, facts["head_name"], "head_name")
    y += rows
    form.label(left, y, a, y + rows, words[2])
    form.value(a, y, b, y + rows, facts["household_number"], "household_number")
    if layout == "stacked":
        form.cell(b, y, right, y + rows)
        y += rows
        form.label(left, y, a, y + rows, words[3])
        form.value(a, y, right, y + rows, facts["address"], "address")
    else:
        form.label(b, y, c, y + rows, words[3])
        form.value(c, y, right, y + rows, facts["address"], "address")
    y += rows
    page.text(left + 20, y + look.between(30, 44), "省级公安机关", form.size * 0.85, form.label_face, form.label_ink)
    page.text(left + 20, y + look.between(84, 100), "户口专用章", form.size * 0.85, form.label_face, form.label_ink)
    page.text(left + 420, y + look.between(30, 44), "户口登记机关", form.size * 0.85, form.label_face, form.label_ink)
    page.text(left + 420, y + look.between(84, 100), "户口专用章", form.size * 0.85, form.label_face, form.label_ink)
    foot = tall - look.between(95, 130) if layout != "upright" else y + look.between(330, 420)
    page.text(left + 20, foot, "承办人签章：", form.size, form.label_face, form.label_ink)
    text = rng.choice((values.chinese_day(issued), values.chinese_day(issued, False), values.chinese_day(issued, True, " ")))
    page.text(left + 440, foot, "签发", form.size, form.label_face, form.label_ink)
    page.dots = form.needle
    page.text(left + 500 + form.size, foot, text, form.size, form.face, form.ink, field="issue_date")
    page.dots = False
    page.field("issue_date", text)
    if layout == "upright":
        y = foot + 80
        page.text(500, y, "住址变动登记", form.size * 1.2, form.label_face, form.label_ink, anchor="m", spacing=0.2)
        y += 60
        columns = (left, left + (right - left) * 0.55, left + (right - left) * 0.78, right)
        for row in range(5):
            for at, (x0, x1) in enumerate(zip(columns, columns[1:])):
                if row == 0:
                    form.label(x0, y, x1, y + 60, ("变动后住址", "变动日期", "承办人签章")[at])
                else:
                    form.cell(x0, y, x1, y + 60)
            y += 60
    _seals(look, page, where, foot if layout == "upright" else tall)
    return page


def _facts(look, where):
    rng = look.rng
    person = values.person(rng, where, look.held, ages=(1940, 2018))
    age = 2024 - person["birth"].year
    relation = rng.choice(wording.RELATIONS)
    short = where[2] + where[3] if look.chance(0.7) else where[3] + where[4]
    registered = values.day(rng, max(1997, person["birth"].year), 2024)
    grown = age >= 20
    from_ = values.place(rng, look.held)
    facts = {
        "name": person["name"], "relation": relation, "former_name": values.name(rng, look.held)[0] if look.chance(0.12) else "", "sex": person["sex"], "birth_place": short,
        "ethnicity": person["ethnicity"] + ("族" if look.chance(0.6) and not person["ethnicity"].endswith("人") else ""), "native_place": from_[2] + from_[3] if look.chance(0.5) else short,
        "birth_date": values.chinese_day(person["birth"], padded=look.chance(0.5)), "other_address": "", "religion": rng.choice(("", "", "无", "佛教", "不信教")), "id_number": person["id_number"],
        "height": rng.choice(("", f"{rng.randint(150, 185)}", f"{rng.randint(150, 185)}厘米")) if grown else "", "blood_type": rng.choice(("", "A", "B", "O", "AB", "A型", "O型", "不明")),
        "education": rng.choice(wording.EDUCATION) if age > 8 else "", "marital_status": rng.choice(wording.MARITAL) if grown else "未婚",
        "military_status": rng.choice(wording.MILITARY) if grown else "", "employer": rng.choice(wording.EMPLOYERS) if grown else "", "occupation": rng.choice(wording.OCCUPATIONS) if grown else "",
        "moved_in_city": rng.choice(("", "久居", f"{values.chinese_day(values.day(rng, 1985, 2020), False)}由{from_[2]}{from_[3]}迁来")),
        "moved_in_address": rng.choice(("", "久居", f"{values.chinese_day(values.day(rng, 1985, 2022), False)}由{where[4]}{values.road(rng, look.held)}{rng.randint(1, 90)}号迁来")),
        "registration_date": values.chinese_day(registered, padded=look.chance(0.5)),
    }
    return facts


def member(look, layout):
    rng = look.rng
    where = values.place(rng, look.held)
    facts = _facts(look, where)
    upright = layout == "upright"
    tall = look.between(1180, 1400) if upright else look.between(690, 780)
    page = look.sheet(tall, rng.choice(PAPERS), (1200, 1700))
    ornament.guilloche(page, ornament.darker(page.image.getpixel((2, 2)), rng.randint(4, 12)))
    form = Form(look, page, look.between(22, 26) if not upright else look.between(24, 28))
    left, right = look.between(40, 64), 1000 - look.between(40, 64)
    y = look.between(34, 52)
    page.text(500, y, rng.choice(("常住人口登记卡", "常 住 人 口 登 记 卡")), look.between(36, 44), look.face("serif_bold", "sans_bold", "kai", "song"), form.label_ink, anchor="m", spacing=rng.choice((0.0, 0.25)))
    y += look.between(56, 72)
    foot = tall - look.between(60, 84)
    rows = 11
    high = (foot - y) / rows
    a = left + look.between(150, 185)
    b = left + (right - left) * look.between(0.52, 0.58)
    c = b + look.between(130, 165)

    def pair(y, first, second):
        form.label(left, y, a, y + high, first[0])
        form.value(a, y, b, y + high, facts[first[1]], first[1])
        form.label(b, y, c, y + high, second[0])
        form.value(c, y, right, y + high, facts[second[1]], second[1])

    relation = rng.choice(("户主或与\n户主关系", "户主或与户主关系", "与户主关系")) if high > 50 else "户主或与户主关系"
    city = rng.choice(("本市（县）其他住址", "本市(县)\n其他住址", "本市（县）\n其他住址"))
    if high < 46:
        city = city.replace("\n", "")
    pair(y, ("姓名", "name"), (relation, "relation"))
    pair(y + high, ("曾用名", "former_name"), ("性别", "sex"))
    pair(y + 2 * high, ("出生地", "birth_place"), ("民族", "ethnicity"))
    pair(y + 3 * high, ("籍贯", "native_place"), ("出生日期", "birth_date"))
    pair(y + 4 * high, (city, "other_address"), ("宗教信仰", "religion"))
    at = y + 5 * high
    d, e, f = b + look.between(-40, 0), 0, 0
    e, g = d + 70, d + 70 + look.between(90, 130)
    f = g + 70
    number_label = rng.choice(("公民身份\n证件编号", "公民身份证件编号", "公民身份号码")) if high > 50 else "公民身份证件编号"
    for x0, x1, label, name in ((left, a, number_label, None), (a, d, None, "id_number"), (d, e, "身高", None), (e, g, None, "height"), (g, f, "血型", None), (f, right, None, "blood_type")):
        form.label(x0, at, x1, at + high, label) if label else form.value(x0, at, x1, at + high, facts[name], name)
    at += high
    third = (right - a) / 3
    m1, m2 = a + third * 0.85, a + third * 1.9
    for x0, x1, label, name in ((left, a, "文化程度", None), (a, m1, None, "education"), (m1, m1 + 100, "婚姻\n状况" if high > 50 else "婚姻状况", None), (m1 + 100, m2, None, "marital_status"),
                                (m2, m2 + 100, "兵役\n状况" if high > 50 else "兵役状况", None), (m2 + 100, right, None, "military_status")):
        form.label(x0, at, x1, at + high, label) if label else form.value(x0, at, x1, at + high, facts[name], name)
    pair(at + high, ("服务处所", "employer"), ("职业", "occupation"))
    wide = a + look.between(90, 140)
    for number, (label, name) in enumerate((("何时由何地迁来本市（县）", "moved_in_city"), ("何时由何地迁来本址", "moved_in_address"))):
        top = at + (2 + number) * high
        form.label(left, top, wide, top + high, label if high < 50 else label[:6] + "\n" + label[6:])
        form.value(wide, top, right, top + high, facts[name], name)
    last = at + 4 * high
    form.cell(left, last, right, last + high)
    page.text(left + 20, last + high * 0.3, "承办人签章：", form.size * 0.95, form.label_face, form.label_ink)
    page.text(b - 20, last + high * 0.3, rng.choice(("登记日期：", "登记日期")), form.size * 0.95, form.label_face, form.label_ink)
    page.dots = form.needle
    page.text(b - 20 + form.size * 5, last + high * 0.3 + form.off[1] * 0.5, facts["registration_date"], form.size, form.face, form.ink, field="registration_date")
    page.dots = False
    page.field("registration_date", facts["registration_date"])
    if look.chance(0.7):
        ornament.seal(page, look.between(600, 800), tall * look.between(0.6, 0.85), look.between(60, 84), values.police(where), rng.randint(70, 150), below="户口专用章")
    for name in [name for name, value in page.fields.items() if not value]:
        del page.fields[name]
    return page


HEAD = {name: (lambda look, name=name: head(look, name)) for name in ("plain", "titled", "stacked", "upright")}
MEMBER = {name: (lambda look, name=name: member(look, name)) for name in ("landscape", "upright")}
