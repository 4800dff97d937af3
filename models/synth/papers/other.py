"""Pages that are none of the twelve: papers of everyday, cards that look like the ones asked for, screens, scenes."""
import math

from PIL import Image, ImageDraw, ImageFilter

from .. import ornament, values
from ..data import wording


def _prose(rng, words):
    return "".join(rng.choice(wording.FILLER) + rng.choice(("", "", "，", "、", "的", "和", "应", "。")) for _ in range(words))


def _shade(rng, light=True):
    return tuple(rng.randint(200, 255) if light else rng.randint(0, 200) for _ in range(3))


def _title(look, page, text, y, size):
    page.text(500, y, text, size, look.face("serif_bold", "sans_bold", "kai", "song"), anchor="m", spacing=look.rng.choice((0.0, 0.2)))


def letter(look):
    """A lease, contract, notice or letter: a title and lines of prose, sometimes with a seal."""
    rng = look.rng
    page = look.sheet(look.between(1250, 1450), (252, 252, 250), (1200, 1700))
    _title(look, page, rng.choice(("房屋租赁合同", "劳动合同书", "通  知", "承诺书", "委托书", "证  明", "采购合同", "收入证明", "商户入驻协议", "会议纪要", "租赁协议", "情况说明")), look.between(60, 110), look.between(36, 50))
    face, size, left = look.face(), look.between(20, 28), look.between(70, 130)
    y = look.between(190, 240)
    while y < page.tall - 220:
        text = rng.choice(("甲方：", "乙方：", "第一条 ", "一、", "1. ", "", "　　")) + _prose(rng, rng.randint(3, 26))
        y += (page.wrapped(left, y, text, size, 1000 - 2 * left, 1.6, face) + rng.choice((0, 0, 0.5))) * size * 1.6
        if look.chance(0.06):
            break
    page.text(620, min(y + 40, page.tall - 150), values.chinese_day(values.day(rng, 2010, 2025)), size, face)
    if look.chance(0.4):
        ornament.seal(page, 720, min(y + 30, page.tall - 140), look.between(70, 100), f"{rng.choice(wording.WORDS)}有限公司", 140)
    return page


def form(look):
    """A table with labels and some values: applications, invoices, lists of goods, wages."""
    rng = look.rng
    tall = look.between(520, 1450)
    page = look.sheet(tall, rng.choice(((252, 252, 250), (250, 246, 236), (240, 246, 250), (255, 240, 240))), (1000, 1700))
    title = rng.choice(("员工入职登记表", "增值税电子普通发票", "送货单", "报销单", "申请表", "体检报告", "工资明细表", "物业缴费通知单", "商品价目表", "课程表", "房屋查验表", "报名表", "银行回单", "税收完税证明", "水电费结算单"))
    ink = rng.choice(((60, 60, 60), (150, 60, 50), (60, 90, 150), (110, 80, 40)))
    _title(look, page, title, look.between(30, 60), look.between(30, 42))
    face, size = look.face(), look.between(16, 24)
    left, right, y = look.between(40, 80), 1000 - look.between(40, 80), look.between(110, 160)
    high, columns = look.between(38, 70), rng.randint(2, 8)
    edges = [left + (right - left) * (i + (rng.uniform(-0.25, 0.25) if 0 < i < columns else 0)) / columns for i in range(columns + 1)]
    while y + high < tall - 60:
        merged = look.chance(0.2)
        for at, (x0, x1) in enumerate(zip(edges, edges[1:])):
            if merged and at == 1:
                x1 = right
            page.box(x0, y, x1, y + high, outline=ink)
            if look.chance(0.7):
                text = rng.choice((rng.choice(wording.FILLER), f"{rng.randint(1, 99999) / 100:.2f}", str(rng.randint(1, 9999)), values.name(rng)[0]))
                page.text(x0 + 8, y + high / 2 - size * 0.6, text, min(size, (x1 - x0 - 10) / max(1, len(text)) * 1.2), face)
            if merged and at == 1:
                break
        y += high
    if look.chance(0.4):
        ornament.seal(page, look.between(600, 850), tall * look.between(0.3, 0.9), look.between(50, 90), f"{rng.choice(wording.WORDS)}有限公司", rng.randint(90, 170), oval=rng.choice((1.0, 0.7)))
    if look.chance(0.3):
        ornament.qr(page, look.between(40, 860), look.between(20, 60), look.between(70, 110))
    return page


def receipt(look):
    """A till roll or ticket."""
    rng = look.rng
    page = look.sheet(look.between(1200, 2600), (248, 248, 246), (900, 1500))
    face, size, y = look.face(), look.between(36, 50), 60
    page.text(500, y, rng.choice(("购物小票", "欢迎光临", "结账单", "取号单", "停车票")), size * 1.4, face, anchor="m")
    y += size * 3
    while y < page.tall - size * 6:
        if look.chance(0.12):
            page.text(40, y, "-" * 40, size * 0.8, "latin_mono")
        else:
            page.text(50, y, rng.choice(wording.FILLER) + rng.choice(wording.FILLER), size, face)
            page.text(950, y, f"{rng.randint(1, 99999) / 100:.2f}", size, "latin_mono", anchor="r")
        y += size * look.between(1.4, 1.8)
    (ornament.bars if look.chance(0.5) else lambda p, x, yy, w, h: ornament.qr(p, 350, yy - 100, 260))(page, 200, page.tall - 150, 600, 90)
    return page


CARDS = (
    ("会员卡", "VIP MEMBER CARD"), ("学生证", "STUDENT CARD"), ("工作证", "STAFF"), ("中华人民共和国机动车驾驶证", "Driving License of the People's Republic of China"), ("中华人民共和国机动车行驶证", "Vehicle License"),
    ("社会保障卡", "SOCIAL SECURITY CARD"), ("居住证", "RESIDENCE PERMIT"), ("健康证明", "HEALTH CERTIFICATE"), ("图书馆读者证", "LIBRARY"), ("出入证", "PASS"), ("老年优待证", "SENIOR CARD"), ("残疾人证", ""),
    ("教师资格证书", ""), ("港澳居民来往内地通行证", "MAINLAND TRAVEL PERMIT FOR HONG KONG AND MACAO RESIDENTS"), ("外国人永久居留身份证", "FOREIGN PERMANENT RESIDENT ID CARD"), ("记者证", "PRESS CARD"), ("银行卡", "UnionPay"),
    ("IDENTITY CARD", "REPUBLIC"), ("DRIVER LICENSE", "STATE"), ("退役军人优待证", ""),
)


def card(look):
    """A card of plastic or paper with a picture and rows of labels, of another kind than those asked for."""
    rng = look.rng
    title, english = rng.choice(CARDS)
    upright = look.chance(0.2)
    tall = look.between(600, 720) if not upright else look.between(1350, 1600)
    page = look.sheet(tall, rng.choice(((240, 240, 238), (228, 236, 246), (236, 246, 236), (250, 240, 236), _shade(rng), _shade(rng))), (800, 1400))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(6, 20)))
    ink = rng.choice(((20, 20, 20), (30, 60, 120), (150, 30, 30), (20, 90, 60)))
    size = min(56, 840 / max(4, len(title)) * (1.7 if title.isascii() else 1))
    _title(look, page, title, look.between(26, 60), size)
    if english:
        page.text(500, 46 + size * 1.3, english, min(24, 900 / len(english) * 1.6), "latin", ink, anchor="m")
    side = rng.choice(("left", "right"))
    photo = look.between(190, 280)
    top = 60 + size * 1.3 + look.between(40, 90)
    if look.chance(0.85):
        ornament.portrait(page, look.between(40, 70) if side == "left" else 940 - photo, top, photo, photo * 1.3)
    left = photo + 120 if side == "left" else look.between(50, 80)
    face, label_face, text = look.face(), look.face(), look.between(24, 34)
    person = values.person(rng, held=look.held)
    rows = [("姓名", person["name"]), ("性别", person["sex"]), ("证号", person["id_number"]), ("住址", person["address"][:14]), ("出生日期", f"{person['birth']}"), ("准驾车型", rng.choice(("C1", "B2", "C1D"))),
            ("学校", "市第一中学"), ("学号", str(rng.randint(10**8, 10**9))), ("单位", f"{rng.choice(wording.WORDS)}有限公司"), ("编号", str(rng.randint(10**6, 10**10))), ("有效期限", "2020-01-01 至 2030-01-01"),
            ("初次领证日期", "2012-05-06"), ("等级", "金卡"), ("国籍", "中国"), ("Name", person["family"] + " " + person["given"]), ("号牌号码", f"川A{rng.randint(10000, 99999)}"), ("发证机关", f"{person['place'][3]}公安局交通管理局")]
    rng.shuffle(rows)
    y = top
    for label, value in rows[:rng.randint(2, 7)]:
        if y > tall - 60:
            break
        at = page.text(left, y, label, text * 0.85, label_face, ink)
        page.text(at + 20, y, value, min(text, (960 - at) / max(1, len(value)) * 1.4), face)
        y += text * look.between(1.7, 2.3)
    if look.chance(0.3):
        page.text(500, tall - 80, "".join(str(rng.randint(0, 9)) + (" " if i % 4 == 3 else "") for i in range(16)), 44, "latin_mono", anchor="m")
    if look.chance(0.25):
        ornament.seal(page, look.between(300, 800), tall * 0.75, look.between(60, 90), f"{person['place'][3]}公安局", 150, square=look.chance(0.4))
    if look.chance(0.2):
        ornament.bars(page, 60, tall - 70, 300, 50)
    return page


def certificate(look):
    """A permit, diploma or award with frame, title and seal: near the licence and the deed's cover."""
    rng = look.rng
    upright = look.chance(0.5)
    tall = look.between(1300, 1450) if upright else look.between(660, 760)
    page = look.sheet(tall, rng.choice(((253, 249, 238), (250, 250, 248), (255, 240, 235), (244, 248, 252))), (1200, 1800))
    paper = page.image.getpixel((2, 2))
    ornament.guilloche(page, ornament.darker(paper, rng.randint(5, 12)))
    if look.chance(0.85):
        ornament.border(page, rng.choice(((196, 160, 80), (180, 60, 50), (70, 110, 150))), look.between(16, 36), 7)
    if look.chance(0.4):
        ornament.emblem(page, 500, tall * 0.1, 45)
    _title(look, page, rng.choice(("食品经营许可证", "荣誉证书", "毕业证书", "结婚证", "卫生许可证", "开户许可证", "烟草专卖零售许可证", "商标注册证", "税务登记证", "组织机构代码证", "聘书", "培训合格证", "学士学位证书", "出生医学证明", "房屋他项权证",
                                   "国有土地使用证", "社会团体法人登记证书", "道路运输经营许可证")), tall * look.between(0.14, 0.2), look.between(50, 80))
    face, size, left = look.face(), look.between(20, 30), look.between(90, 160)
    y = tall * look.between(0.34, 0.42)
    if look.chance(0.5):
        for label in rng.sample(["经营者名称", "许可证编号", "住所", "经营项目", "主体业态", "有效期至", "法定代表人", "发证日期", "日常监督管理机构", "社会信用代码"], 6):
            page.text(left, y, label, size, face)
            page.text(left + size * 8, y, rng.choice((values.name(rng)[0], _prose(rng, 4)[:18], f"JY{rng.randint(10**12, 10**13)}", values.chinese_day(values.day(rng, 2015, 2025)))), size, face)
            y += size * look.between(1.6, 2.2)
    else:
        y += page.wrapped(left, y, "　　" + _prose(rng, rng.randint(10, 30)), size, 1000 - 2 * left, 1.8, face) * size * 1.8
    ornament.seal(page, look.between(650, 800), min(max(y, tall * 0.7), tall - 130), look.between(70, 110), f"{rng.choice(wording.WORDS)}市监督管理局", rng.randint(100, 170))
    return page


def screen(look):
    """A screenshot: a chat, a list, a map, a pay page."""
    rng = look.rng
    dark = look.chance(0.2)
    page = look.sheet(look.between(1700, 2200) if look.chance(0.8) else look.between(560, 700), (30, 30, 34) if dark else (244, 245, 247), (1000, 1600))
    face, ink = look.face("sans", "zenhei"), (220, 220, 220) if dark else (30, 30, 30)
    page.box(0, 0, 1000, 90, fill=_shade(rng, look.chance(0.5)))
    page.text(500, 30, rng.choice(("微信支付", "订单详情", "聊天信息", "设置", "商品列表", "12:30", "账单")), 36, face, ink, anchor="m")
    y = 130
    kind = rng.choice(("chat", "list", "tiles", "pay"))
    while y < page.tall - 120:
        if kind == "chat":
            mine, long = look.chance(0.5), look.between(200, 640)
            high = look.between(70, 170)
            page.box(860 - long if mine else 130, y, 860 if mine else 130 + long, y + high, fill=(150, 230, 120) if mine else (255, 255, 255), radius=14)
            page.wrapped((875 - long) if mine else 148, y + 14, _prose(rng, 6), 30, long - 40, 1.3, face)
            y += high + 30
        elif kind == "list":
            page.box(30, y, 130, y + 100, fill=_shade(rng, False), radius=16)
            page.text(160, y + 8, rng.choice(wording.FILLER) + rng.choice(wording.FILLER), 34, face, ink)
            page.text(160, y + 58, _prose(rng, 4)[:16], 26, face, (140, 140, 140))
            page.line([(30, y + 118), (970, y + 118)], (200, 200, 200))
            y += 136
        elif kind == "tiles":
            for x in range(20, 980, 325):
                page.box(x, y, x + 305, y + 300, fill=_shade(rng, False), radius=10)
                page.text(x + 10, y + 310, rng.choice(wording.FILLER) + f" ¥{rng.randint(1, 300)}", 28, face, ink)
            y += 370
        else:
            page.text(60, y, rng.choice(wording.FILLER), 32, face, (140, 140, 140))
            page.text(940, y, f"{rng.randint(1, 99999) / 100:.2f}", 32, face, ink, anchor="r")
            y += look.between(60, 100)
    return page


def scene(look):
    """A place or thing without a page: sky and floor, shelves, dishes, hands, or only texture."""
    rng = look.rng
    page = look.sheet(look.between(560, 1500), _shade(rng, look.chance(0.5)), (800, 1500))
    wide, high = page.image.size
    pen = page.draw
    for _ in range(rng.randint(3, 60)):
        x, y, s = rng.uniform(0, wide), rng.uniform(0, high), rng.uniform(0.03, 0.5) * wide
        fill = _shade(rng, look.chance(0.4))
        kind = rng.choice(("box", "disc", "line", "poly"))
        if kind == "box":
            pen.rectangle([x, y, x + s, y + s * rng.uniform(0.2, 2)], fill=fill)
        elif kind == "disc":
            pen.ellipse([x, y, x + s, y + s * rng.uniform(0.5, 1.2)], fill=fill)
        elif kind == "line":
            pen.line([x, y, x + rng.uniform(-s, s), y + rng.uniform(-s, s)], fill=fill, width=max(1, round(s / 20)))
        else:
            pen.polygon([(x + rng.uniform(-s, s), y + rng.uniform(-s, s)) for _ in range(rng.randint(3, 6))], fill=fill)
    page.image = page.image.filter(ImageFilter.GaussianBlur(rng.uniform(0, wide / 60)))
    page.draw = ImageDraw.Draw(page.image)
    if look.chance(0.25):
        ornament.portrait(page, look.between(0, 600), page.tall * 0.2, look.between(200, 500), look.between(300, 600))
    return page


def sign(look):
    """A shop sign, poster, cover or menu: a few large words on colour."""
    rng = look.rng
    page = look.sheet(look.between(380, 1500), _shade(rng, look.chance(0.4)), (800, 1500))
    for _ in range(rng.randint(0, 5)):
        page.box(rng.uniform(0, 800), rng.uniform(0, page.tall), rng.uniform(800, 1000), page.tall, fill=_shade(rng, look.chance(0.5)))
    y = look.between(20, 120)
    while y < page.tall - 60:
        text = rng.choice(wording.WORDS) + rng.choice(("火锅", "便利店", "理发", "超市", "药房", "服装", "奶茶", "五金", "大酒店", "新品上市", "特价", ""))
        size = look.between(30, 180)
        page.text(rng.choice((60, 200, 350)), y, text, size, look.face(), _shade(rng, look.chance(0.5)))
        y += size * look.between(1.3, 2.5)
    return page


def small_print(look):
    """A book, newspaper or label: columns of small text."""
    rng = look.rng
    page = look.sheet(look.between(900, 1500), rng.choice(((248, 246, 238), (252, 252, 252), (236, 228, 206))), (1000, 1700))
    face, size, columns = look.face(), look.between(14, 22), rng.randint(1, 4)
    wide = 920 / columns
    for column in range(columns):
        y = look.between(40, 130)
        while y < page.tall - 50:
            if look.chance(0.1):
                page.text(44 + column * wide, y, _prose(rng, 2)[:int(wide / 34)], size * 1.7, look.face())
                y += size * 3
            else:
                y += page.wrapped(44 + column * wide, y, "　　" + _prose(rng, rng.randint(4, 18)), size, wide - 24, 1.5, face) * size * 1.5
    if look.chance(0.4):
        ornament.portrait(page, look.between(40, 600), look.between(100, page.tall - 300), 260, 200)
    return page


def blank(look):
    """Nearly nothing: an empty sheet, a ruled page, a closed cover, the back of a card."""
    rng = look.rng
    page = look.sheet(look.between(560, 1500), _shade(rng, look.chance(0.7)), (800, 1400))
    kind = rng.choice(("empty", "ruled", "cover", "stripe", "scribble"))
    if kind == "ruled":
        for y in range(60, int(page.tall), rng.randint(30, 60)):
            page.line([(40, y), (960, y)], (150, 170, 200))
    elif kind == "cover":
        ornament.emblem(page, 500, page.tall * 0.4, look.between(90, 160), (120, 20, 20), (210, 170, 80))
        page.text(500, page.tall * 0.65, rng.choice(("中华人民共和国", "笔记本", "存折", "病历")), 60, look.face(), (210, 170, 80), anchor="m")
    elif kind == "stripe":
        page.box(0, page.tall * 0.12, 1000, page.tall * 0.3, fill=(20, 20, 20))
        page.text(60, page.tall * 0.5, _prose(rng, 12)[:30], 22, look.face())
    elif kind == "scribble":
        x, y = 100, 100
        while y < page.tall - 60:
            points = [(x + i * 6, y + 16 * math.sin(i * rng.uniform(0.5, 1.4)) + rng.uniform(-8, 8)) for i in range(rng.randint(10, 120))]
            page.line(points, (30, 40, 90), 2.5)
            y += look.between(50, 90)
    return page


LAYOUTS = {"letter": letter, "form": form, "receipt": receipt, "card": card, "certificate": certificate, "screen": screen, "scene": scene, "sign": sign, "small_print": small_print, "blank": blank}
# how often each is drawn: look-alikes the most
WEIGHTS = {"letter": 2, "form": 3, "receipt": 1, "card": 6, "certificate": 4, "screen": 2, "scene": 2, "sign": 1, "small_print": 1, "blank": 2}
