"""The data page of an ordinary passport: bilingual labels and two machine lines (ICAO Doc 9303 part 4, TD3)."""
from .. import ornament, values
from ..data import places

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def _date(date, form):
    if form == "english":
        return f"{date.day:02} {MONTHS[date.month - 1]} {date.year}"
    if form == "both":
        return f"{date.day:02} {date.month}月/{MONTHS[date.month - 1]} {date.year}"
    return f"{date.day:02} {date.month:02}月/{MONTHS[date.month - 1]} {date.year}"


def _page(look, layout):
    rng = look.rng
    person = values.person(rng, held=look.held, ages=(1950, 2015))
    issued = values.day(rng, 2012, 2025)
    expiry = values.years_later(issued, 5 if issued.year - person["birth"].year < 16 else 10) - values.ONE_DAY
    number = values.passport_number(rng)
    letter = {"男": "M", "女": "F"}[person["sex"]]
    optional = "" if look.chance(0.6) else "".join(rng.choice("ABCDEFGHJKLMNOPQ") for _ in range(8)) + "<<<" + f"{rng.randint(100, 999)}"
    family, given = person["family"], person["given"]
    if not given:
        family, _, given = family.partition("·")
    line1, line2 = values.passport_lines(family, given, number, person["birth"], letter, expiry, optional)
    born, place = values.pick(rng, places.PROVINCES, look.held), values.pick(rng, places.PROVINCES, look.held)
    form = rng.choice(("english", "both", "padded"))
    slash = rng.choice(("/", " / ", " "))
    latin_name = f"{family}, {given}" if look.chance(0.7) else f"{family},{given}"
    facts = {
        "number": number, "name": person["name"], "pinyin": latin_name, "sex": f"{person['sex']}{slash}{letter}", "nationality": f"中国{slash}CHINESE",
        "birth_date": _date(person["birth"], form), "birth_place": f"{born[0]}{slash}{born[1]}", "issue_date": _date(issued, form),
        "issue_place": f"{place[0]}{slash}{place[1]}", "expiry_date": _date(expiry, form),
        "issuer": rng.choice(("公安部出入境管理局", "国家移民管理局")), "mrz1": line1, "mrz2": line2,
    }
    authority_english = "MPS Exit & Entry Administration" if facts["issuer"].startswith("公安部") else "National Immigration Administration, PRC"
    spread = layout == "spread"
    tall = look.between(705, 740)
    extra = look.between(560, 680) if spread else 0
    page = look.sheet(tall + extra, rng.choice(((244, 236, 238), (236, 240, 246), (246, 242, 228), (238, 244, 238), (250, 240, 235))), (1000, 1500))
    paper = page.image.getpixel((2, 2))
    for _ in range(2):
        ornament.guilloche(page, ornament.darker(paper, rng.randint(6, 18)))
    if spread:
        page.line([(0, extra), (1000, extra)], ornament.darker(paper, 50), 3)
        ornament.emblem(page, 500, extra * 0.45, look.between(90, 130), ornament.darker(paper, 40), ornament.darker(paper, 20))
        page.text(500, extra * 0.72, "中华人民共和国外交部请各国军政机关对持照人予以通行的便利和必要的协助。", 21, look.face("serif", "kai"), anchor="m")
        page.text(500, extra * 0.72 + 40, "The Ministry of Foreign Affairs requests all to allow the bearer to pass freely.", 17, "latin_serif", anchor="m")
    for name, content in facts.items():
        page.field(name, content)
    ink = rng.choice(((140, 50, 60), (60, 60, 110), (90, 60, 40), (40, 40, 40)))
    label_face = look.face("sans", "serif", "ming", "song")
    face = look.face("sans", "sans_bold", "zenhei", "microhei")
    small, value = look.between(13.5, 17.5), look.between(21, 26)
    y0 = extra + look.between(24, 44)
    page.text(look.between(40, 60), y0, "护照", small * 2.1, look.face("sans_bold", "serif_bold"), ink)
    page.text(look.between(42, 60), y0 + small * 2.9, "PASSPORT", small * 1.3, "latin", ink)
    if look.chance(0.5):
        page.text(260, y0 - 6, "中华人民共和国", small * 1.5, look.face("serif_bold"), ink)
        page.text(500, y0 - 3, "PEOPLE'S REPUBLIC OF CHINA", small * 1.15, "latin", ink)
    left = look.between(310, 345)

    def put(x, y, label, content, name=None, scale=1.0):
        page.text(x, y, label, small, label_face, ink)
        return page.text(x, y + small * 1.35, content, value * scale, face, field=name)

    top = y0 + look.between(24, 34)
    put(left, top, "类型/Type", "P")
    put(left + 130, top, "国家码/Country Code", "CHN")
    put(look.between(710, 760), top, "护照号/Passport No.", number, "number", 1.15)
    photo = look.between(225, 255)
    ornament.portrait(page, look.between(38, 58), top + look.between(44, 74), photo, photo * 1.28)
    bottom = extra + tall - look.between(128, 150)
    rows = 6.3 if layout != "older" else 7.3
    y = top + look.between(60, 72)
    pitch = (bottom - y) / rows
    small, value = min(small, pitch * 0.3), min(value, pitch * 0.46)
    page.text(left, y, "姓名/Name", small, label_face, ink)
    page.text(left, y + small * 1.2, person["name"], value, face, field="name")
    if look.chance(0.7):
        page.text(left, y + small * 1.3 + value * 1.15, latin_name, value * 0.95, face, field="pinyin")
        y += pitch * 1.35
    else:
        page.text(left + max(page.length(person["name"], value, face) + 30, 200), y + small * 1.2, latin_name, value * 0.95, face, field="pinyin")
        y += pitch
    put(left, y, "性别/Sex", facts["sex"], "sex")
    put(left + 170, y, "国籍/Nationality", facts["nationality"], "nationality")
    put(left + 405, y, "出生日期/Date of birth", facts["birth_date"], "birth_date")
    y += pitch
    if layout == "older":
        put(left, y, "出生地点/Place of birth", facts["birth_place"], "birth_place")
        y += pitch
        put(left, y, "签发日期/Date of issue", facts["issue_date"], "issue_date")
        put(left + 330, y, "有效期至/Date of expiry", facts["expiry_date"], "expiry_date")
        y += pitch
        put(left, y, "签发地点/Place of issue", facts["issue_place"], "issue_place")
    else:
        put(left, y, "出生地点/Place of birth", facts["birth_place"], "birth_place")
        put(left + 405, y, "签发日期/Date of issue", facts["issue_date"], "issue_date")
        y += pitch
        put(left, y, "签发地点/Place of issue", facts["issue_place"], "issue_place")
        put(left + 405, y, "有效期至/Date of expiry", facts["expiry_date"], "expiry_date")
    y += pitch
    page.text(left, y, "签发机关/Authority", small, label_face, ink)
    end = page.text(left, y + small * 1.35, facts["issuer"], value * 0.95, face, field="issuer")
    page.text(left, y + small * 1.35 + value * 1.2, authority_english, value * 0.62, "latin")
    page.text(left + 405, y, "持证人签名/Bearer's signature", small, label_face, ink)
    page.text(left + 420, y + small * 1.5, person["name"], value * 1.2, look.face("kai", "wenkai", "kai_gb"), turn=3)
    machine = look.machine()
    stretch, page.stretch = page.stretch, 1.0
    size = page.fitting(line1, 60, machine, look.between(900, 945))
    base = extra + tall - look.between(112, 124)
    page.text(500, base, line1, size, machine, anchor="m", field="mrz1")
    page.text(500, base + size * look.between(1.5, 1.8), line2, size, machine, anchor="m", field="mrz2")
    page.stretch = stretch
    return page


LAYOUTS = {name: (lambda look, name=name: _page(look, name)) for name in ("current", "older", "spread")}
