"""Invented people, companies and homes for the plain pages, with check digits that hold (GB 11643, GB 32100, GB 11714).

Places are real districts, so that codes and addresses fit each other; streets, names and numbers are made up.
"""
import datetime

from ..values import credit_check_digit, day, id_check_digit, organisation_check_digit

# district code, province character, province, city, district
PLACES = [
    ("510107", "川", "四川省", "成都市", "武侯区"), ("510104", "川", "四川省", "成都市", "锦江区"),
    ("440305", "粤", "广东省", "深圳市", "南山区"), ("440106", "粤", "广东省", "广州市", "天河区"),
    ("330106", "浙", "浙江省", "杭州市", "西湖区"), ("320505", "苏", "江苏省", "苏州市", "虎丘区"),
    ("420111", "鄂", "湖北省", "武汉市", "洪山区"), ("610113", "陕", "陕西省", "西安市", "雁塔区"),
    ("370202", "鲁", "山东省", "青岛市", "市南区"), ("430104", "湘", "湖南省", "长沙市", "岳麓区"),
    ("350203", "闽", "福建省", "厦门市", "思明区"), ("410105", "豫", "河南省", "郑州市", "金水区"),
]
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
SYLLABLES = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国文斌宇浩然子轩欣怡梦琪雨晨思远志鹏俊辉海燕晓东春梅家豪嘉慧诗涵"
ETHNICITIES = ["汉"] * 12 + ["回", "满", "壮", "苗", "藏", "土家", "维吾尔", "蒙古"]
ROADS = ["清溪路", "梧桐街", "望江路", "青云大道", "金桂路", "文华街", "学府路", "锦绣大道", "银杏路", "和平街", "新华路", "长乐街"]
ESTATES = ["云锦花园", "翠湖小区", "星河国际", "金色家园", "阳光城", "枫林苑", "海棠湾", ""]
WORDS = ["云帆", "瑞禾", "嘉味", "恒泰", "拾光", "麦香", "鼎盛", "青禾", "聚鲜", "万家", "蓝海", "小满", "福临", "锦程", "悦购", "百汇"]
TRADES = [
    ("餐饮管理有限公司", "餐饮服务；食品销售；餐饮管理；外卖递送服务；日用百货销售。（依法须经批准的项目，经相关部门批准后方可开展经营活动）"),
    ("商贸有限公司", "日用百货销售；服装服饰零售；食品销售；针纺织品及原料销售；互联网销售；货物进出口。（依法须经批准的项目，经相关部门批准后方可开展经营活动）"),
    ("科技有限公司", "软件开发；信息技术咨询服务；计算机系统服务；技术服务、技术开发、技术转让；电子产品销售；广告设计、代理。"),
    ("服装有限公司", "服装服饰批发；服装服饰零售；鞋帽批发；箱包销售；皮革制品销售；互联网销售（除销售需要许可的商品）。"),
]
KINDS = ["有限责任公司（自然人独资）", "有限责任公司（自然人投资或控股）", "有限责任公司（法人独资）"]
CAPITALS = ["壹拾万元整", "伍拾万元整", "壹佰万元整", "贰佰万元整", "伍佰万元整", "壹仟万元整"]


def chinese_day(date, padded=True):
    return f"{date.year}年{date.month:02}月{date.day:02}日" if padded else f"{date.year}年{date.month}月{date.day}日"


def person(rng, place=None):
    code, _, province, city, district = place or rng.choice(PLACES)
    sex = rng.choice("男女")
    birth = day(rng, 1960, 2003)
    serial = rng.randrange(0, 499) * 2 + (1 if sex == "男" else 0)
    first17 = f"{code}{birth:%Y%m%d}{serial:03}"
    address = f"{province}{city}{district}{rng.choice(ROADS)}{rng.randint(1, 399)}号"
    if rng.random() < 0.7:
        address += f"{rng.choice(ESTATES)}{rng.randint(1, 28)}栋{rng.randint(1, 4)}单元{rng.randint(1, 32)}{rng.randint(1, 4):02}号"
    return {
        "name": rng.choice(SURNAMES) + "".join(rng.sample(SYLLABLES, rng.choice((1, 2, 2)))), "sex": sex,
        "ethnicity": rng.choice(ETHNICITIES), "birth": birth, "address": address, "id_number": first17 + id_check_digit(first17),
    }


def company(rng, place, legal_person):
    code, _, province, city, district = place
    suffix, scope = rng.choice(TRADES)
    organisation = "MA" + "".join(rng.choice("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(6))
    first17 = f"91{code}{organisation}{organisation_check_digit(organisation)}"
    established = day(rng, 2016, 2023)
    issued = established + datetime.timedelta(days=rng.randrange(900))
    printed = chinese_day(established)
    end = established.replace(year=established.year + rng.choice((20, 30)), day=min(established.day, 28))
    return {
        "code": first17 + credit_check_digit(first17), "name": f"{city.removesuffix('市')}{rng.choice(WORDS)}{rng.choice(WORDS)}{suffix}",
        "kind": rng.choice(KINDS), "legal_label": "法定代表人", "legal_person": legal_person, "capital": rng.choice(CAPITALS),
        "established": established, "established_printed": printed,
        "term": rng.choice((f"{printed}至长期", f"{printed}至{chinese_day(end)}", "长期", "")),
        "address": f"{province}{city}{district}{rng.choice(ROADS)}{rng.randint(1, 299)}号{rng.randint(1, 9)}栋{rng.randint(1, 30)}层{rng.randint(1, 12):02}号",
        "scope": scope, "issued": issued, "registrar": f"{city}{district}市场监督管理局",
    }


def deed(rng, place, holder):
    code, short, province, city, district = place
    private = rng.randint(3000, 16000) / 100
    shared = rng.randint(500, 3500) / 100
    floor_area = private + shared
    land = rng.randint(80000, 4000000) / 100
    parts = (code, f"{rng.randint(1, 30):03}{rng.randint(1, 30):03}", f"GB{rng.randint(1, 400):05}", f"F{rng.randint(1, 9999):08}")
    start = day(rng, 2003, 2018)
    years, usage, right = rng.choice(((70, "城镇住宅用地/住宅", "市场化商品房"), (40, "商务金融用地/商业服务", "市场化商品房"), (40, "商服用地/商业", "市场化商品房")))
    end = start.replace(year=start.year + years, day=min(start.day, 28))
    floors = rng.randint(6, 33)
    return {
        "number": f"{short}（{rng.randint(2016, 2024)}）{city}不动产权第{rng.randint(1, 999999):07}号", "holder": holder,
        "co_ownership": rng.choice(("单独所有", "单独所有", "房屋单独所有")),
        "location": f"{district}{rng.choice(ROADS)}{rng.randint(1, 399)}号{rng.choice(ESTATES)}{rng.randint(1, 28)}栋{rng.randint(1, 4)}单元{rng.randint(1, floors)}层{rng.randint(1, 8)}号",
        "unit_code": "".join(parts), "unit_code_printed": rng.choice((" ", "")).join(parts),
        "right_type": "国有建设用地使用权/房屋所有权", "right_nature": f"出让/{right}", "use": usage,
        "area": f"宗地面积{land:.2f}㎡/房屋建筑面积{floor_area:.2f}㎡", "floor_area": f"{floor_area:.2f}",
        "term": f"国有建设用地使用权{chinese_day(start)}起{chinese_day(end)}止",
        "other": f"房屋结构：钢筋混凝土结构\n专有建筑面积：{private:.2f}㎡，分摊建筑面积：{shared:.2f}㎡\n房屋总层数：{floors}层，所在层：{rng.randint(1, floors)}层\n房屋竣工时间：{start.year + 3}年",
        "registrar": f"{city}规划和自然资源局",
    }


def merchant(rng):
    """The three documents of one invented merchant: the same person on all of them."""
    place = rng.choice(PLACES)
    owner = person(rng, place)
    return {"id_front": owner, "deed_new": deed(rng, place, owner["name"]), "business_licence": company(rng, place, owner["name"])}
