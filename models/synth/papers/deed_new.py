"""Certificate of real-estate rights since 2015 (Interim Regulation; forms of 2015): the table page and the page with seal and date."""
from .. import ornament, values
from ..data import wording

PAPERS = ((250, 246, 234), (248, 248, 244), (252, 244, 240), (245, 247, 240), (246, 240, 232), (242, 246, 248))
LABELS = ("权利人", "共有情况", "坐落", "不动产单元号", "权利类型", "权利性质", "用途", "面积", "使用期限", "权利其他状况")


def facts_of(look):
    rng = look.rng
    where = values.place(rng, look.held)
    code, short, province, city, district = where
    holders = [values.name(rng, look.held)[0] for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    private, shared = rng.randint(3000, 16000) / 100, rng.randint(500, 3500) / 100
    floor_area = private + shared
    land = rng.randint(3000, 4000000) / 100
    start = values.day(rng, 1998, 2022)
    years, usage, right = rng.choice(((70, "城镇住宅用地/住宅", "出让/市场化商品房"), (70, "城镇住宅用地/成套住宅", "出让/商品房"), (40, "商务金融用地/商业服务", "出让/市场化商品房"), (40, "商服用地/商业", "出让/其它"),
                                      (70, "住宅用地/住宅", "划拨/经济适用住房"), (50, "工业用地/工业", "出让/自建房"), (70, "城镇住宅用地/住宅", "划拨/房改房"), (70, "住宅/住宅", "出让/存量房")))
    end = values.years_later(start, years)
    floors = rng.randint(3, 40)
    at = rng.randint(1, floors)
    printed_code = values.unit_code(rng, code)
    unit = rng.choice((" ", "")).join(printed_code)
    square = rng.choice(("㎡", "㎡", "平方米", "m²"))
    year = rng.randint(2015, 2025)
    town = rng.choice((city, city, district if district.endswith(("市", "县")) else city))
    street = f"{values.road(rng, look.held)}{rng.randint(1, 399)}号"
    location = rng.choice((city + district, district, province + city + district, "")) + street + values.pick(rng, wording_estates(), look.held) + values.flat(rng)
    share = "、".join(f"{name}{100 // len(holders)}%" for name in holders)
    left, right_bracket = rng.choice(("（）", "（）", "()"))
    stop = values.chinese_day(end)
    term = rng.choice((f"国有建设用地使用权{values.chinese_day(start)}起{stop}止", f"{values.chinese_day(start)}起{stop}止", f"{values.chinese_day(start)}起至{stop}止",
                       f"国有建设用地使用权{years}年，{values.chinese_day(start)}起{stop}止", f"土地使用期限：{values.chinese_day(start)}至{stop}止/-"))
    if right.startswith("划拨"):
        term = rng.choice(("/", "国有建设用地使用权 /", "-"))
    structure = values.pick(rng, wording.STRUCTURES, False)
    other = rng.choice((
        f"房屋结构：{structure}\n专有建筑面积：{private:.2f}{square}，分摊建筑面积：{shared:.2f}{square}\n房屋总层数：{floors}层，所在层：{at}层\n房屋竣工时间：{start.year + 3}年",
        f"专有建筑面积：{private:.2f}{square}；分摊建筑面积：{shared:.2f}{square}；房屋总层数：{floors}；所在层数：{at}；结构：{structure}",
        f"土地使用权面积：{land / 100:.2f}{square}，其中独用土地面积：0.00{square}，分摊土地面积：{land / 100:.2f}{square}\n房屋结构：{structure}，专有建筑面积：{private:.2f}{square}，房屋总层数：{floors}，房屋所在层数：{at}",
    ))
    return {
        "number": f"{short}{left}{year}{right_bracket}{town}不动产权第{rng.randint(1, 9999999):07}号", "holder": rng.choice(("、", " ", "，")).join(holders),
        "co_ownership": rng.choice(("单独所有", "单独所有", "房屋单独所有")) if len(holders) == 1 else rng.choice(("共同共有", f"按份共有：{share}", "按份共有")), "location": location, "unit_code": unit,
        "right_type": rng.choice(("国有建设用地使用权/房屋所有权", "国有建设用地使用权/房屋（构筑物）所有权", "国有建设用地使用权/房屋所有权")), "right_nature": right, "use": usage,
        "area": rng.choice((f"宗地面积{land:.2f}{square}/房屋建筑面积{floor_area:.2f}{square}", f"土地使用权面积：{land:.2f}{square}/房屋建筑面积：{floor_area:.2f}{square}", f"共有宗地面积{land:.2f}{square}/房屋建筑面积{floor_area:.2f}{square}")),
        "floor_area": f"{floor_area:.2f}", "term": term, "other": other,
    }, city, year


def wording_estates():
    from ..data import places
    return places.ESTATES


def _table(look, page, facts, left, right, y, size):
    rng = look.rng
    face = look.face("sans", "serif", "zenhei", "song", "ming", "microhei")
    label_face = look.face("sans", "serif_bold", "sans_bold", "zenhei", "song", "kai")
    split = left + (right - left) * look.between(0.17, 0.21)
    justify, ink = look.chance(0.5), rng.choice(((60, 60, 60), (120, 90, 60), (150, 60, 60), (30, 30, 30)))
    top = y
    names = ("holder", "co_ownership", "location", "unit_code", "right_type", "right_nature", "use", "area", "term", "other")
    for label, name in zip(LABELS, names):
        content = facts[name]
        fitted = size
        if name == "unit_code":
            fitted = min(size, size * (right - split - 40) / page.length(content, size, face))
        lines = page.lines(content, fitted, face, right - split - 40)
        pad, leading = size * look.between(0.5, 0.85), size * look.between(1.26, 1.42)
        height = pad * 2 + leading * (len(lines) - 1) + size * 1.15 + (size * look.between(0, 3) if name == "other" else 0)
        page.line([(left, y), (right, y)], ink)
        fit = min(1.0, (split - left - 12) / page.length(label, size, label_face))
        if justify and len(label) < 6:
            page.justified(left + (split - left) * 0.1, y + height / 2 - size * 0.62, label, size * fit, min(6, len(label) + 1), label_face)
        else:
            page.text((left + split) / 2, y + height / 2 - size * 0.62, label, size * fit, label_face, anchor="m")
        for number, line in enumerate(lines):
            page.text(split + 20, y + pad + number * leading - size * 0.1, line, fitted, face, field=name)
        if name == "area":
            for mark in ("建筑面积",):
                at = max(number for number, line in enumerate(lines) if mark[:2] in line or facts["floor_area"] in line or number == len(lines) - 1)
                page.mark("floor_area", split + 20, y + pad + at * leading - size * 0.1, right - 10, y + pad + at * leading + size)
        y += height
    page.line([(left, y), (right, y)], ink)
    for x in (left, split, right):
        page.line([(x, top), (x, y)], ink)
    return y, face


def table(look):
    facts, city, _ = facts_of(look)
    rng = look.rng
    page = look.sheet(look.between(1150, 1400), rng.choice(PAPERS), (1300, 1800))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(5, 12)))
    if look.chance(0.4):
        ornament.border(page, ornament.darker(paper, rng.randint(30, 80)), look.between(14, 28), 5)
    for name, value in facts.items():
        page.field(name, value)
    size = look.between(21, 26.5)
    left, right = look.between(50, 78), 1000 - look.between(50, 78)
    y = look.between(50, 84)
    number_face = look.face("sans", "serif", "zenhei", "song")
    x = rng.choice((left + 10, 500 - page.length(facts["number"], size * 1.1, number_face) / 2, right - 10 - page.length(facts["number"], size * 1.1, number_face)))
    page.text(x, y, facts["number"], size * 1.1, number_face, field="number")
    y, _ = _table(look, page, facts, left, right, y + size * look.between(2.2, 3.0), size)
    if look.chance(0.35):
        ornament.seal(page, look.between(640, 830), min(y - look.between(60, 190), page.tall - 110), look.between(82, 108), f"{city}规划和自然资源局", rng.randint(90, 150))
    return page


def spread(look):
    """Two facing pages: the table, and 附记 beside it."""
    facts, city, _ = facts_of(look)
    rng = look.rng
    page = look.sheet(look.between(690, 740), rng.choice(PAPERS), (1700, 2200))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(5, 12)))
    page.line([(500, 0), (500, page.tall)], ornament.darker(paper, 40), 2)
    for name, value in facts.items():
        page.field(name, value)
    size = look.between(11.4, 13.4)
    left, right = look.between(24, 40), look.between(460, 480)
    y = look.between(28, 44)
    page.text(rng.choice((left + 6, 160)), y, facts["number"], size * 1.1, look.face("sans", "serif"), field="number")
    y, face = _table(look, page, facts, left, right, y + size * 2.4, size)
    page.text(750, look.between(28, 44), rng.choice(("附    记", "附 记")), size * 1.5, look.face("serif_bold", "sans"), anchor="m")
    page.box(528, 80, 972, page.tall - 40, outline=(90, 80, 70))
    remarks = rng.choice(("以下空白", f"原产权证号：{facts['number'][:3]}房权证字第{rng.randint(1000000, 9999999)}号\n业务编号：{rng.randint(10**9, 10**10)}", f"该不动产为{facts['co_ownership'][:4]}\n登记原因：买卖\n取得价格：{rng.randint(30, 600)}万元"))
    page.wrapped(548, 100, remarks, size, 400, 1.5, face)
    return page


def cover(look):
    """The first inner page: the law's words, seal, date, maker and number of the print."""
    rng = look.rng
    _, city, year = facts_of(look)
    upright = look.chance(0.8)
    tall = look.between(1250, 1420) if upright else look.between(700, 760)
    page = look.sheet(tall, rng.choice(PAPERS), (1300, 1800))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(5, 14)))
    if look.chance(0.6):
        ornament.border(page, rng.choice(((190, 150, 90), (170, 70, 60), (150, 150, 120))), look.between(20, 40), 6)
    face = look.face("serif", "song", "kai", "ming", "sans")
    law = rng.choice(("《中华人民共和国民法典》", "《中华人民共和国物权法》"))
    words = f"　　根据{law}等法律法规，为保护不动产权利人合法权益，对不动产权利人申请登记的本证所列不动产权利，经审查核实，准予登记，颁发此证。"
    size = look.between(32, 40) if upright else look.between(24, 28)
    left = look.between(100, 150)
    y = tall * look.between(0.1, 0.2)
    count = page.wrapped(left, y, words, size, 1000 - 2 * left, look.between(1.6, 1.9), face)
    issued = values.day(rng, max(2016, year), 2025)
    printed = rng.choice((values.chinese_day(issued), values.chinese_day(issued, True, " "), values.chinese_day(issued, False, " ")))
    y = tall * look.between(0.52, 0.6) if upright else tall * 0.58
    page.text(look.between(480, 560), y, rng.choice(("登记机构（章）", "登记机构(章)", "登记机构：（章）")), size * 0.9, face)
    page.text(look.between(540, 600), y + size * look.between(2.4, 3.2), printed, size * 0.85, face, field="issue_date")
    ornament.seal(page, look.between(650, 780), y + look.between(0, 60), look.between(88, 118) * (1 if upright else 0.8), rng.choice((f"{city}规划和自然资源局", f"{city}不动产登记专用章", f"{city}国土资源局")), rng.randint(110, 180), below=rng.choice(("", "登记专用章")))
    number = f"D{rng.choice((values.place(rng)[0][:2], '51', '44'))}{rng.randint(0, 999_999_999):09}"
    foot = tall - look.between(110, 170) * (1 if upright else 0.6)
    page.text(left, foot, rng.choice(("中华人民共和国自然资源部监制", "中华人民共和国国土资源部监制")), size * 0.7, face)
    page.text(left, foot + size * 1.1, rng.choice(("编号№ ", "编号NO ", "编号 № ")) + number, size * 0.7, look.face("sans", "serif"), field="print_number")
    page.field("issue_date", printed)
    page.field("print_number", number)
    if look.chance(0.6):
        ornament.qr(page, look.between(720, 800), tall * 0.78 if upright else tall * 0.06, look.between(100, 140), 33)
    return page


LAYOUTS = {"table": table, "table_wide": spread, "cover": cover}
