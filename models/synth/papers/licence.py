"""Business licence: the form of 2019 and older ones, landscape and portrait, of companies, shops, co-operatives and branches."""
import datetime

from .. import ornament, values
from ..data import places, wording

PAPERS = ((253, 249, 238), (250, 250, 248), (248, 246, 236), (252, 246, 232), (246, 249, 240))


def _facts(look, kind):
    rng = look.rng
    where = values.place(rng, look.held)
    code, _, province, city, district = where
    person = values.name(rng, look.held)[0]
    word = values.pick(rng, wording.WORDS, look.held) + (values.pick(rng, wording.WORDS, look.held) if look.chance(0.4) else "")
    established = values.day(rng, 2000, 2024)
    issued = established + datetime.timedelta(days=rng.randrange(1600))
    printed = values.chinese_day(established)
    town = city.removesuffix("市")
    brackets = look.chance(0.5)
    address = f"{rng.choice((province + city + district, city + district, district))}{values.road(rng, look.held)}{rng.randint(1, 299)}号{rng.choice((values.flat(rng), '', '附' + str(rng.randint(1, 40)) + '号'))}"
    if look.chance(0.15):
        address += "（自主申报）"
    facts = {"code": values.credit_code(rng, {"company": "1", "branch": "1", "shop": "2", "cooperative": "3", "sole": "1", "partnership": "1"}[kind], code)}
    term = rng.choice((f"{printed}至长期", f"{printed}至{values.chinese_day(values.years_later(established, rng.choice((10, 20, 30, 50))))}", "长期", "", ""))
    if kind == "shop":
        suffix, scope = rng.choice(wording.SHOPS)
        facts |= {"name": f"{district}{word}{suffix}" if look.chance(0.85) else f"{district}{word}{suffix}（个体工商户）", "kind": "个体工商户", "legal_person": person, "established": printed,
                  "address": address, "scope": scope, "form": rng.choice(("个人经营", "家庭经营"))}
        labels = {"legal_person": "经营者", "established": rng.choice(("注册日期", "成立日期")), "address": "经营场所", "form": "组成形式", "kind": "类型"}
    elif kind == "cooperative":
        suffix, scope = rng.choice(wording.COOPERATIVES)
        facts |= {"name": f"{district}{word}{suffix}", "kind": "农民专业合作社", "legal_person": person, "capital": rng.choice(wording.CAPITALS), "established": printed, "address": address, "scope": scope}
        labels = {"legal_person": "法定代表人", "established": "成立日期", "address": "住所", "capital": "成员出资总额"}
    elif kind == "branch":
        suffix, scope = values.pick(rng, wording.TRADES, look.held)
        facts |= {"name": f"{town}{word}{suffix}{district.removesuffix('区').removesuffix('县').removesuffix('市')}{rng.choice(('分公司', '第一分公司', '分店'))}", "kind": rng.choice(("有限责任公司分公司", "有限责任公司分公司(自然人独资)", "其他有限责任公司分公司")), "legal_person": person,
                  "established": printed, "address": address, "scope": scope}
        labels = {"legal_person": "负责人", "established": "成立日期", "address": rng.choice(("经营场所", "营业场所")), "term": "营业期限"}
        facts["term"] = term
    elif kind in ("sole", "partnership"):
        suffix, scope = values.pick(rng, wording.TRADES, look.held)
        facts |= {"name": f"{town}{word}{rng.choice(('服装加工厂', '咨询服务中心', '商务服务部', '广告设计工作室'))}{'（有限合伙）' if kind == 'partnership' else ''}", "kind": {"sole": "个人独资企业", "partnership": "有限合伙企业"}[kind],
                  "legal_person": person, "established": printed, "address": address, "scope": scope}
        labels = {"legal_person": {"sole": "投资人", "partnership": "执行事务合伙人"}[kind], "established": "成立日期", "address": {"sole": "住所", "partnership": "主要经营场所"}[kind], "term": rng.choice(("营业期限", "合伙期限"))}
        facts["term"] = term if kind == "partnership" else ""
    else:
        suffix, scope = values.pick(rng, wording.TRADES, look.held)
        middle = f"（{town}）" if look.chance(0.15) else ""
        facts |= {"name": f"{town if not middle else ''}{word}{middle}{suffix}", "kind": rng.choice(wording.KINDS), "legal_person": person, "capital": rng.choice(wording.CAPITALS), "established": printed,
                  "address": address, "scope": scope, "term": term}
        labels = {"legal_person": "法定代表人", "established": "成立日期", "address": "住所", "capital": "注册资本", "term": "营业期限"}
    if not brackets:
        facts = {name: value.replace("（", "(").replace("）", ")") for name, value in facts.items()}
    facts = {name: value for name, value in facts.items() if value}
    facts["issue_date"] = rng.choice((values.chinese_day(issued, gap=" "), values.chinese_day(issued), values.chinese_day(issued, False, " ")))
    labels = {"code": "统一社会信用代码", "name": "名称", "kind": "类型", "scope": "经营范围", **labels}
    registrar = rng.choice((f"{city}{district}市场监督管理局", f"{city}市场监督管理局", f"{city}{district}行政审批局", f"{city}工商行政管理局"))
    return facts, labels, registrar


def _frame(look, page):
    rng = look.rng
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(5, 12)))
    if look.chance(0.8):
        gold = rng.choice(((196, 160, 80), (180, 60, 50), (150, 130, 90), (90, 130, 110)))
        ornament.border(page, gold, look.between(14, 30), look.between(4, 8))
    if look.chance(0.4):
        ornament.emblem(page, 500, page.tall * 0.55, look.between(120, 180), ornament.darker(paper, 14), ornament.darker(paper, 8))


def _foot(look, page, facts, registrar, x, y, size, face, label_face):
    rng = look.rng
    page.text(x, y, rng.choice(("登记机关", "登 记 机 关", "登记机关：")), size * 1.1, label_face, spacing=rng.choice((0.0, 0.15, 0.4)))
    end = page.text(x + look.between(40, 100), y + size * look.between(2.2, 3.0), facts["issue_date"], size * look.between(0.95, 1.1), face, field="issue_date")
    if look.chance(0.85):
        ornament.seal(page, min(x + look.between(110, 190), 920), y + look.between(0, 30), look.between(58, 78), registrar, rng.randint(110, 180))
    if look.chance(0.7):
        page.text(40, page.tall - look.between(38, 46), "国家企业信用信息公示系统网址：http://www.gsxt.gov.cn", size * 0.62, label_face)
        page.text(960, page.tall - look.between(38, 46), rng.choice(("国家市场监督管理总局监制", "中华人民共和国国家工商行政管理总局监制")), size * 0.62, label_face, anchor="r")


def landscape(look, kind):
    rng = look.rng
    facts, labels, registrar = _facts(look, kind)
    tall = look.between(675, 745)
    page = look.sheet(tall, rng.choice(PAPERS), (1400, 1900))
    _frame(look, page)
    for name, value in facts.items():
        page.field(name, value)
    if look.chance(0.85):
        ornament.emblem(page, 500, look.between(62, 76), look.between(30, 42))
    title_face = look.face("serif_bold", "kai", "song", "sans_bold")
    page.text(500, look.between(104, 122), "营业执照", look.between(52, 66), title_face, anchor="m", spacing=rng.choice((0.15, 0.25, 0.4)))
    if look.chance(0.7):
        copy = f"（副  本）{rng.randint(1, 5)}-{rng.randint(1, 5)}" if look.chance(0.4) else rng.choice(("（副  本）", "（副本）", "(副本)"))
        page.text(500, look.between(192, 204), copy, look.between(20, 25), look.face("sans", "serif"), anchor="m")
    face, label_face = look.face("sans", "serif", "zenhei", "song", "microhei", "ming"), look.face("sans", "serif_bold", "sans_bold", "zenhei", "song")
    size = look.between(16.5, 20.5)
    left = look.between(60, 84)
    page.text(left, look.between(112, 128), "统一社会信用代码", size * 0.9, label_face)
    page.text(left - 8, look.between(142, 156), facts["code"], size * look.between(0.95, 1.05), look.face("sans", "sans_bold", "zenhei"), field="code")
    if look.chance(0.85):
        ornament.qr(page, look.between(815, 860), look.between(70, 100), look.between(76, 96), rng.choice((25, 29, 33)))
        if look.chance(0.5):
            page.text(905, 186, "扫描二维码登录", size * 0.55, label_face, anchor="m")
            page.text(905, 200, "‘国家企业信用信息公示系统’", size * 0.5, label_face, anchor="m")
    middle = look.between(505, 545)
    justify = 6 if "capital" in labels and len(labels["capital"]) > 5 else 5
    column_left, column_right = left + size * (justify + 1.3), middle + size * (justify + 1.0)
    pitch, leading = look.between(44, 54), look.between(1.3, 1.45)
    ink = rng.choice(((20, 20, 20), (20, 20, 20), (60, 60, 60), (110, 80, 40)))

    def put(x, column, y, name, room):
        page.justified(x, y, labels[name], size, max(justify - 1, len(labels[name])) if len(labels[name]) < justify else justify, label_face, ink)
        return pitch + (page.wrapped(column, y, facts[name], size, room, leading, face, field=name) - 1) * size * leading

    y = y0 = look.between(232, 256)
    for name in ("name", "kind", "legal_person"):
        y += put(left, column_left, y, name, middle - column_left - 24)
    put(left, column_left, y, "scope", middle - column_left - 24)
    y = y0
    for name in ("capital", "form", "established", "term", "address"):
        if name in facts:
            y += put(middle, column_right, y, name, 955 - column_right)
    foot = max(tall - look.between(140, 165), y + 20)
    _foot(look, page, facts, registrar, look.between(590, 650), min(foot, tall - 112), size, face, label_face)
    return page


def portrait(look, kind):
    rng = look.rng
    facts, labels, registrar = _facts(look, kind)
    tall = look.between(1340, 1450)
    page = look.sheet(tall, rng.choice(PAPERS), (1400, 1900))
    _frame(look, page)
    for name, value in facts.items():
        page.field(name, value)
    ornament.emblem(page, 500, look.between(120, 150), look.between(58, 76))
    page.text(500, look.between(205, 235), "营业执照", look.between(84, 108), look.face("serif_bold", "kai", "song", "sans_bold"), anchor="m", spacing=rng.choice((0.2, 0.4)))
    if look.chance(0.7):
        page.text(500, look.between(338, 352), rng.choice(("（副  本）", "（副本）", "（正  本）")), look.between(24, 30), look.face("sans", "serif"), anchor="m")
    face, label_face = look.face("sans", "serif", "zenhei", "song", "microhei", "ming"), look.face("sans", "serif_bold", "sans_bold", "zenhei", "song")
    size = look.between(22, 27)
    left = look.between(110, 150)
    y = look.between(395, 420)
    if look.chance(0.5):
        page.text(500, y, f"统一社会信用代码 {facts['code']}", size, label_face, anchor="m", field="code")
        chosen = ["name", "kind", "address", "legal_person", "capital", "form", "established", "term", "scope"]
        y += size * 2.6
    else:
        chosen = ["code", "name", "kind", "address", "legal_person", "capital", "form", "established", "term", "scope"]
        y += 10
    if look.chance(0.4):
        chosen.insert(chosen.index("legal_person") + 1, chosen.pop(chosen.index("address")))
    leading, pitch = look.between(1.3, 1.45), look.between(58, 74)
    wide = 8 if "code" in chosen else 6
    column = left + size * (wide + 1.2)
    for name in chosen:
        if name in facts:
            page.justified(left, y, labels[name], size, wide if len(labels[name]) > 2 else wide, label_face)
            count = page.wrapped(column, y, facts[name], size, 900 - column, leading, face, field=name)
            y += pitch + (count - 1) * size * leading
    if look.chance(0.5):
        ornament.qr(page, left, tall - look.between(230, 260), look.between(110, 130), 29)
    _foot(look, page, facts, registrar, look.between(520, 600), max(min(y + 30, tall - 190), tall - 260), size, face, label_face)
    return page


KINDS = ("company", "company", "company", "shop", "shop", "cooperative", "branch", "sole", "partnership")
LAYOUTS = {
    "landscape": lambda look: landscape(look, look.rng.choice(KINDS)),
    "portrait": lambda look: portrait(look, look.rng.choice(KINDS)),
}
