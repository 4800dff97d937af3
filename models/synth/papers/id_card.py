"""Resident identity card, front and back (GA 448), and the temporary card (Order 78 of the Ministry of Public Security, 2005)."""
from .. import ornament, values

LABEL_INKS = ((60, 110, 165), (50, 95, 150), (70, 120, 170), (40, 80, 130), (90, 130, 170))
PAPERS = ((228, 238, 245), (235, 240, 238), (222, 234, 244), (240, 243, 240), (232, 236, 232), (226, 236, 240))


def _values(page, person):
    for name in ("name", "sex", "ethnicity", "address", "id_number"):
        page.field(name, person[name])
    page.field("birth_date", values.chinese_day(person["birth"], padded=False))


def _front(look, tall=631, photo_left=False, bottom_space=0.0, bilingual=False, ink=None):
    rng = look.rng
    person = values.person(rng, held=look.held)
    page = look.sheet(tall, rng.choice(PAPERS), (900, 1400))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(8, 20)))
    if look.chance(0.5):
        ornament.rosette(page, look.between(300, 700), tall * 0.5, look.between(150, 300), ornament.darker(paper, 12))
    ink = ink or rng.choice(LABEL_INKS)
    face, label_face = look.face("sans", "zenhei", "microhei", "serif_bold"), look.face("sans", "zenhei", "sans_bold", "microhei")
    left, top = look.between(46, 84), look.between(50, 88)
    if photo_left:
        left += 310
    height = tall - bottom_space
    pitch = look.between(0.125, 0.147) * (631 if not bottom_space else height * 1.02)
    label, value = look.between(26, 33), look.between(30, 38)
    if bottom_space:
        label, value = label * 0.9, value * 0.9
    column = left + look.between(3.0, 3.7) * label
    lift = (value - label) * 0.7
    gap = rng.choice((0.0, 0.12, 0.3))
    if bilingual:  # the name twice, as cards of autonomous regions have it
        page.text(column, top - value * 0.7, rng.choice(("Lwg Gih Vunz Cuengh", "Vangz Siujmingz", "Cinz Meijlan")), value * 0.6, "latin")

    def label_at(y, text):
        page.text(left, y + lift, text, label, label_face, ink, spacing=gap)

    _values(page, person)
    label_at(top, "姓名")
    page.text(column, top, person["name"], value * look.between(1.0, 1.18), face, field="name")
    label_at(top + pitch, "性别")
    page.text(column, top + pitch, person["sex"], value, face, field="sex")
    second = left + look.between(190, 230)
    page.text(second, top + pitch + lift, "民族", label, label_face, ink, spacing=gap)
    page.text(second + label * look.between(2.4, 3.2), top + pitch, person["ethnicity"], value, face, field="ethnicity")
    y, x, born = top + 2 * pitch, column, person["birth"]
    label_at(y, "出生")
    for number, unit in ((str(born.year), "年"), (str(born.month), "月"), (str(born.day), "日")):
        end = page.text(x, y, number, value, face, field="birth_date")
        end = page.text(end + value * look.between(0.2, 0.45), y + lift, unit, label, label_face, ink, field="birth_date")
        x = end + label * look.between(0.3, 0.8)
    y = top + 3 * pitch
    label_at(y, "住址")
    room = look.between(385, 440) if not photo_left else 940 - column
    if page.stretch > 1:
        room *= 1.02
    count = page.wrapped(column, y, person["address"], value, room, look.between(1.22, 1.42), face, field="address")
    bottom = max(height - look.between(88, 112), y + count * value * 1.4 + 10)
    page.text(left, bottom + lift, "公民身份号码", label, label_face, ink)
    page.text(left + label * look.between(6.8, 7.6), bottom - 2, person["id_number"], value * look.between(1.05, 1.2), look.face("sans", "sans_bold", "zenhei", "microhei"),
              spacing=rng.choice((0.0, 0.08, 0.14)), field="id_number")
    x = look.between(40, 60) if photo_left else look.between(640, 680)
    size = look.between(0.36, 0.5)
    ornament.portrait(page, x, look.between(60, 100), 600 * size * 0.9, height * size * 1.05, ground=paper if look.chance(0.4) else None, grey=look.chance(0.1))
    return page, person, bottom + value * 1.6


def front_standard(look):
    return _front(look, look.between(620, 645))[0]


def front_bilingual(look):
    return _front(look, look.between(620, 645), bilingual=True)[0]


def _back(look, tall, emblem_at, title_x):
    rng = look.rng
    person = values.person(rng, held=look.held)
    page = look.sheet(tall, rng.choice(PAPERS + ((238, 232, 236), (240, 236, 228))), (900, 1400))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(8, 18)))
    wall(page, ornament.darker(paper, rng.randint(14, 28)), tall * 0.62)
    ornament.emblem(page, *emblem_at, look.between(75, 105))
    face = look.face("serif_bold", "sans_bold", "kai", "song")
    y = look.between(75, 110)
    page.text(title_x, y, "中华人民共和国", look.between(50, 62), face, anchor="m", spacing=rng.choice((0.0, 0.1, 0.2)))
    page.text(title_x, y + look.between(95, 125), "居民身份证", look.between(76, 96), face, anchor="m", spacing=rng.choice((0.0, 0.1, 0.18)))
    label_face, value_face = look.face("sans", "zenhei", "microhei"), look.face("sans", "zenhei", "microhei")
    ink = (25, 25, 25) if look.chance(0.7) else rng.choice(LABEL_INKS)
    size = look.between(28, 36)
    x, y = look.between(230, 300), tall - look.between(170, 200)
    column = x + size * look.between(4.6, 5.4)
    issuer, span = values.police(person["place"]), values.valid_period(rng, person["birth"])
    page.field("issuer", issuer)
    page.field("valid_period", span)
    page.text(x, y, "签发机关", size, label_face, ink)
    page.text(column, y, issuer, size, value_face, field="issuer")
    y += look.between(66, 82)
    page.text(x, y, "有效期限", size, label_face, ink)
    page.text(column, y, span, size, value_face, field="valid_period")
    return page


def wall(page, ink, y):
    """A long wall over hills."""
    import math
    for row in range(4):
        points = [(x, y + row * 7 + 46 * math.sin(x / 130 + 1.3) + 18 * math.sin(x / 41)) for x in range(0, 1001, 8)]
        page.line(points, ink, 1.4)
    for x in range(20, 1000, 46):
        top = y + 46 * math.sin(x / 130 + 1.3) + 18 * math.sin(x / 41)
        page.box(x, top - 12, x + 14, top + 18, outline=ink)


def back_standard(look):
    return _back(look, look.between(620, 645), (look.between(140, 180), look.between(150, 185)), look.between(590, 630))


def back_plain(look):
    return _back(look, look.between(615, 640), (look.between(120, 150), look.between(140, 165)), look.between(560, 640))


def _temporary_foot(look, page, person, y, size):
    issuer = values.police(person["place"])
    start = values.day(look.rng, 2019, 2025)
    month = start.month + 3
    end = start.replace(year=start.year + (month > 12), month=(month - 1) % 12 + 1, day=min(start.day, 28))
    span = f"{values.dotted_day(start)}-{values.dotted_day(end)}"
    page.field("issuer", issuer)
    page.field("valid_period", span)
    face, label_face = look.face("sans", "zenhei"), look.face("sans")
    left = look.between(50, 80)
    page.text(left, y, "签发机关", size, label_face)
    page.text(left + size * 5.2, y, issuer, size, face, field="issuer")
    page.text(left, y + size * 1.7, "有效期限", size, label_face)
    page.text(left + size * 5.2, y + size * 1.7, span, size, face, field="valid_period")


def temporary_data(look):
    """The side with the data: as on the card, and issuer and span below the number."""
    page, person, y = _front(look, look.between(670, 710), bottom_space=look.between(125, 145), ink=(30, 30, 30))
    _temporary_foot(look, page, person, y + 8, look.between(25, 29))
    return page


def temporary_titled(look):
    """The title above the data, as a print of both sides on one."""
    top = look.between(120, 150)
    inner, person, y = _front(look, look.between(670, 700), bottom_space=look.between(125, 145), ink=(30, 30, 30))
    _temporary_foot(look, inner, person, y + 8, look.between(25, 29))
    page = look.sheet(inner.tall + top, inner.image.getpixel((2, 2)), (900, 1400))
    page.image = page.image.resize((inner.image.width, round((inner.tall + top) * inner.unit)))
    page.unit = inner.unit
    page.over(page.layer())
    page.image.paste(inner.image, (0, round(top * inner.unit)))
    page.fields = inner.fields
    page.boxes = {name: [a, b + top * inner.unit, c, d + top * inner.unit] for name, (a, b, c, d) in inner.boxes.items()}
    face = look.face("serif_bold", "sans_bold", "kai")
    if look.chance(0.5):
        page.text(500, look.between(30, 50), "中华人民共和国临时居民身份证", look.between(50, 58), face, anchor="m")
    else:
        page.text(500, 22, "中华人民共和国", 40, face, anchor="m", spacing=0.1)
        page.text(500, 76, "临时居民身份证", 50, face, anchor="m", spacing=0.2)
    return page


def temporary_title_side(look):
    """The side with title and wall; no data but what is printed below it."""
    tall = look.between(620, 645)
    page = look.sheet(tall, look.rng.choice(PAPERS), (900, 1400))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, 14))
    wall(page, ornament.darker(paper, 40), tall * 0.66)
    face = look.face("serif_bold", "sans_bold", "kai")
    page.text(500, look.between(90, 130), "中华人民共和国", look.between(54, 64), face, anchor="m", spacing=0.12)
    page.text(500, look.between(215, 250), "临时居民身份证", look.between(80, 94), face, anchor="m", spacing=0.08)
    person = values.person(look.rng, held=look.held)
    if look.chance(0.6):
        _temporary_foot(look, page, person, tall - 130, look.between(27, 31))
    return page


FRONT = {"standard": front_standard, "bilingual": front_bilingual}
BACK = {"standard": back_standard, "plain": back_plain}
TEMPORARY = {"data": temporary_data, "titled": temporary_titled, "title_side": temporary_title_side}
