"""Exit-entry permits as cards: Hong Kong and Macau, Taiwan, and the permit of Taiwan residents; field order by GA/T 704.16 cards."""
from .. import ornament, values
from ..data import names, places

TITLES = {
    "hkmo": ("往来港澳通行证", "EXIT-ENTRY PERMIT FOR TRAVELLING TO AND FROM HONG KONG AND MACAO"),
    "taiwan": ("往来台湾通行证", "EXIT-ENTRY PERMIT FOR TRAVELLING TO AND FROM TAIWAN"),
    "compatriot": ("台湾居民来往大陆通行证", "MAINLAND TRAVEL PERMIT FOR TAIWAN RESIDENTS"),
}
PAPERS = {
    "hkmo": ((226, 238, 246), (232, 240, 236), (236, 230, 240), (230, 236, 250)),
    "taiwan": ((240, 232, 238), (236, 242, 230), (244, 236, 226), (232, 238, 246)),
    "compatriot": ((232, 242, 232), (226, 240, 236), (244, 240, 226), (236, 236, 244)),
}


def _facts(look, kind):
    rng = look.rng
    person = values.person(rng, held=look.held, ages=(1950, 2012))
    start = values.day(rng, 2014, 2025)
    end = values.years_later(start, rng.choice((5, 10)))
    end = rng.choice((end, end - values.ONE_DAY))
    place = values.pick(rng, places.PROVINCES, look.held)
    if kind == "compatriot":
        chars, spelling = values.pick(rng, names.TAIWAN, look.held)
        facts = {"number": f"{rng.randint(1, 9_999_999):08}", "name": chars, "pinyin": spelling, "issue_count": f"{rng.randint(1, 12):02}"}
        end = values.years_later(start, 5) - values.ONE_DAY
        issue_place = rng.choice(("厦门", "福州", "香港", "澳门", "北京", "上海"))
    else:
        letter = {"hkmo": "C", "taiwan": "L"}[kind]
        number = f"{letter}{rng.randint(0, 99_999_999):08}"
        if kind == "hkmo" and look.chance(0.4):
            number = f"C{rng.choice('ABCDEFGHJKLMNPQRSTUVWXYZ')}{rng.randint(1, 9_999_999):07}"
        facts = {"number": number, "name": person["name"], "pinyin": values.spelled(person["family"], person["given"])}
        issue_place = place[0]
    issuer = rng.choice(("公安部出入境管理局", "公安部出入境管理局", "国家移民管理局", f"{place[0]}省公安厅出入境管理局" if place[0] not in ("北京", "上海", "天津", "重庆", "广西", "内蒙古", "新疆", "西藏") else f"{place[0]}市公安局出入境管理局"))
    if kind == "compatriot":
        issuer = rng.choice(("公安部出入境管理局", "国家移民管理局"))
    facts |= {"birth_date": values.dotted_day(person["birth"]), "sex": person["sex"], "valid_period": f"{values.dotted_day(start)}-{values.dotted_day(end)}",
              "issuer": issuer, "issue_place": issue_place}
    # The two letters of the Taiwan permits' line are not in a published source: CT and CR are ours.
    facts["mrz1"] = values.card_line({"hkmo": "CS", "taiwan": "CT", "compatriot": "CR"}[kind], facts["number"], person["birth"], end)
    return facts


def _card(look, kind, layout):
    rng = look.rng
    facts = _facts(look, kind)
    tall = look.between(618, 648)
    page = look.sheet(tall, rng.choice(PAPERS[kind]), (900, 1400))
    paper = page.image.getpixel((2, 2))
    for _ in range(2):
        ornament.guilloche(page, ornament.darker(paper, rng.randint(6, 22)))
    title, english = TITLES[kind]
    ink = rng.choice(((30, 30, 60), (120, 30, 40), (25, 60, 110), (20, 20, 20), (60, 40, 90)))
    title_face = look.face("serif_bold", "sans_bold", "kai", "song")
    if look.chance(0.6):
        ornament.emblem(page, look.between(70, 110), look.between(62, 78), look.between(38, 50))
    else:
        ornament.emblem(page, 500, tall * 0.5, look.between(110, 170), ornament.darker(paper, 26), ornament.darker(paper, 14))
    chars = len(title)
    size = min(look.between(44, 58), 560 / chars)
    x = look.between(430, 520)
    page.text(x, look.between(26, 42), title, size, title_face, ink, anchor="m", spacing=rng.choice((0.0, 0.1)))
    if look.chance(0.8):
        page.text(x, 36 + size * 1.35, english, min(17, 620 / len(english) * 1.7), "latin", ink, anchor="m")
    with_line = layout != "plain"
    photo = look.between(230, 275)
    top = look.between(130, 160)
    right = layout == "photo_right"
    ornament.portrait(page, look.between(690, 720) if right else look.between(40, 70), top, photo, photo * 1.25, grey=look.chance(0.3), tint=paper if look.chance(0.3) else None)
    if look.chance(0.5):
        ornament.portrait(page, look.between(840, 870) if not right else 560, top + 170, photo * 0.35, photo * 0.45, grey=True, tint=paper)
    left = look.between(52, 80) if right else look.between(330, 365)
    label_face, face = look.face("sans", "zenhei", "microhei"), look.face("sans", "zenhei", "sans_bold", "microhei")
    label_ink = rng.choice((ink, (70, 90, 120), (90, 90, 90)))
    small, value = look.between(15, 22), look.between(25, 31)
    stacked = layout == "stacked" or (layout == "photo_left" and look.chance(0.5))
    english_labels = look.chance(0.5)
    rows = [
        [("姓名", "Name", "name", facts["name"])],
        [("", "", "pinyin", facts["pinyin"])],
        [("出生日期", "Date of Birth", "birth_date", facts["birth_date"]), ("性别", "Sex", "sex", facts["sex"])],
        [("有效期限", "Period of Validity", "valid_period", facts["valid_period"])],
        [("签发机关", "Authority", "issuer", facts["issuer"])],
        [("签发地点", "Place of Issue", "issue_place", facts["issue_place"])],
    ]
    if kind == "compatriot":
        rows[5].append(("签发次数", "Times", "issue_count", facts["issue_count"]))
    if look.chance(0.35):
        rows[4], rows[5] = rows[5], rows[4]
    for name, value_ in facts.items():
        if name != "mrz1":
            page.field(name, value_)
    number_label = rng.choice(("证件号码", "证件号码", "号码", ""))
    number_y = max(top - look.between(4, 30), 126)
    number_size = look.between(30, 38)
    if look.chance(0.6):
        x = 950 - page.length(facts["number"], number_size, face) if not right else 640 - page.length(facts["number"], number_size, face)
        if number_label:
            page.text(x - small * 4.6, number_y + 10, number_label, small, label_face, label_ink)
        page.text(x, number_y, facts["number"], number_size, face, rng.choice(((20, 20, 20), (170, 30, 30))), field="number")
    else:
        rows.append([(number_label or "证件号码", "No.", "number", facts["number"])])
    end = tall - (look.between(95, 120) if with_line else 40)
    y = top + look.between(24, 46)
    pitch = (end - y) / (len(rows) + (0.1 if stacked else 0))
    if stacked:
        value, small = min(value, pitch * 0.47), min(small, pitch * 0.3)
    column = left + (0 if stacked else small * look.between(4.8, 5.6))
    for row in rows:
        for number, (chinese, latin, name, content) in enumerate(row):
            at = left + number * look.between(240, 275)
            label = f"{chinese}/{latin}" if english_labels and latin and stacked else chinese
            if label:
                page.text(at, y + (0 if stacked else value * 0.3), label, small * (0.85 if stacked else 1), label_face, label_ink)
            x = at if stacked else at + column - left
            shift = small if stacked else 0
            if name == "pinyin":
                page.text(x, y + shift * 0.4, content, value * 0.86, look.face("sans", "zenhei", "microhei"), field=name)
            else:
                room = 955 - x if not right else 680 - x
                fit = min(1.0, room / max(1.0, page.length(content, value, face)))
                page.text(x, y + shift, content, value * fit, face, field=name)
        y += pitch
    if with_line:
        page.field("mrz1", facts["mrz1"])
        machine = look.machine()
        page.text(500, tall - look.between(62, 82), facts["mrz1"], page.fitting(facts["mrz1"], 50, machine, look.between(860, 920)), machine, anchor="m", field="mrz1")
    return page


def _make(kind):
    return {layout: (lambda look, layout=layout: _card(look, kind, layout)) for layout in ("photo_left", "stacked", "photo_right", "plain")}


HKMO, TAIWAN, COMPATRIOT = _make("hkmo"), _make("taiwan"), _make("compatriot")
