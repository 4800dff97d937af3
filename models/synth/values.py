"""Invented people, companies and homes, with check digits that hold (GB 11643, GB 32100, GB 11714, ICAO Doc 9303).

`held` draws from the words, places and ranges kept away from training pages.
"""
import datetime

from .data import names, places, wording

CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
ONE_DAY = datetime.timedelta(days=1)


def pick(rng, words, held):
    """One of the words: every fourth is kept for held-out pages, unless there are few."""
    if len(words) < 12:
        return rng.choice(words)
    return rng.choice([word for number, word in enumerate(words) if (number % 4 == 3) == held])


def id_check_digit(first17):
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(first17, weights)) % 11]


def organisation_check_digit(first8):
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    left = 11 - sum(int(c, 36) * w for c, w in zip(first8, weights)) % 11
    return {10: "X", 11: "0"}.get(left, str(left))


def credit_check_digit(first17):
    total = sum(CREDIT_ALPHABET.index(c) * 3 ** i for i, c in enumerate(first17))
    return CREDIT_ALPHABET[-total % 31]


def mrz_check_digit(text):
    """ICAO Doc 9303: weights 7 3 1, A=10 ... Z=35, < = 0."""
    return str(sum((0 if c == "<" else int(c, 36)) * (7, 3, 1)[i % 3] for i, c in enumerate(text)) % 10)


def day(rng, first_year, last_year):
    return datetime.date(first_year, 1, 1) + datetime.timedelta(days=rng.randrange((last_year - first_year + 1) * 365))


def years_later(date, years):
    try:
        return date.replace(year=date.year + years)
    except ValueError:
        return date.replace(year=date.year + years, day=28)


def chinese_day(date, padded=True, gap=""):
    month, day_ = (f"{date.month:02}", f"{date.day:02}") if padded else (str(date.month), str(date.day))
    return f"{date.year}{gap}年{gap}{month}{gap}月{gap}{day_}{gap}日"


def dotted_day(date):
    return f"{date:%Y.%m.%d}"


def place(rng, held=False):
    return pick(rng, places.PLACES, held)


def road(rng, held=False):
    return pick(rng, places.ROADS, held)


def flat(rng):
    forms = (f"{rng.randint(1, 28)}栋{rng.randint(1, 4)}单元{rng.randint(1, 32)}{rng.randint(1, 4):02}号", f"{rng.randint(1, 28)}幢{rng.randint(1, 3)}单元{rng.randint(1, 18)}层{rng.randint(1, 8)}号",
             f"{rng.randint(1, 20)}号楼{rng.randint(101, 2604)}室", f"{rng.randint(1, 12)}-{rng.randint(1, 4)}-{rng.randint(101, 1804)}", f"{rng.randint(1, 9)}座{rng.randint(1, 30)}楼{rng.choice('ABCDEF')}房")
    return rng.choice(forms)


def home(rng, where, held=False):
    """An address as identity papers print it."""
    _, _, province, city, district = where
    if rng.random() < 0.18:
        return f"{province}{city}{district}{pick(rng, places.VILLAGES, held)}{rng.choice((str(rng.randint(1, 180)) + '号', '', str(rng.randint(1, 60)) + '号附' + str(rng.randint(1, 4)) + '号'))}"
    middle = rng.choice((city, city, ""))
    head = f"{province}{middle}{district}" if province else f"{city}{district}"
    text = f"{head}{road(rng, held)}{rng.randint(1, 399)}号"
    if rng.random() < 0.75:
        text += pick(rng, places.ESTATES, held) + flat(rng)
    return text


def name(rng, held=False):
    """Characters and spelling: surname, given."""
    family, spelling = pick(rng, names.SURNAMES, held)
    pool = names.RARE if rng.random() < 0.12 else names.GIVEN
    given = [pick(rng, pool if i == 0 else names.GIVEN, held) for i in range(rng.choice((1, 2, 2)))]
    return family + "".join(c for c, _ in given), spelling, "".join(p for _, p in given)


def id_number(rng, where, birth, sex):
    serial = rng.randrange(0, 499) * 2 + (1 if sex == "男" else 0)
    first17 = f"{where[0]}{birth:%Y%m%d}{serial:03}"
    return first17 + id_check_digit(first17)


def person(rng, where=None, held=False, ages=(1948, 2006)):
    where = where or place(rng, held)
    sex = rng.choice("男女")
    birth = day(rng, *ages)
    chars, family, given = name(rng, held)
    ethnicity = rng.choice(names.ETHNICITIES)
    if rng.random() < 0.08:
        chars, family, of_sex, ethnicity = rng.choice(names.MINORITY)
        sex, given = of_sex or sex, ""
    return {"name": chars, "family": family, "given": given, "sex": sex, "ethnicity": ethnicity, "birth": birth,
            "address": home(rng, where, held), "id_number": id_number(rng, where, birth, sex), "place": where}


def valid_period(rng, birth, as_of=2024):
    """The span by age at issue (Resident Identity Card Law art. 5): 5, 10, 20 years or without end."""
    issued = day(rng, max(birth.year + 1, 2005), as_of)
    age = issued.year - birth.year
    years = 5 if age < 16 else 10 if age < 26 else 20 if age < 46 else None
    if issued.month == 2 and issued.day == 29:
        issued -= ONE_DAY
    return f"{dotted_day(issued)}-" + ("长期" if years is None else dotted_day(years_later(issued, years)))


def police(where):
    _, _, _, city, district = where
    return f"{district}公安局" if district.endswith(("县", "市")) else f"{city}公安局{district.removesuffix('区')}分局"


def spelled(surname, given):
    return f"{surname},{given}" if given else surname.replace("·", ",", 1).replace("·", "")


def card_line(prefix, number, birth, expiry):
    """The machine line of 30 characters of a permit card (GA/T 704.16)."""
    n = number.ljust(9, "<") + mrz_check_digit(number.ljust(9, "<"))
    e = f"{expiry:%y%m%d}" + mrz_check_digit(f"{expiry:%y%m%d}")
    b = f"{birth:%y%m%d}" + mrz_check_digit(f"{birth:%y%m%d}")
    return f"{prefix}{n}<{e}<{b}<{mrz_check_digit(n + e + b)}".ljust(30, "<")


def passport_lines(surname, given, number, birth, sex, expiry, optional=""):
    """TD3 of ICAO Doc 9303 part 4: two lines of 44."""
    first = f"POCHN{surname.replace('·', '<')}<<{given}".ljust(44, "<")[:44]
    n = number.ljust(9, "<")
    n += mrz_check_digit(n)
    b = f"{birth:%y%m%d}"
    b += mrz_check_digit(b)
    e = f"{expiry:%y%m%d}"
    e += mrz_check_digit(e)
    o = optional.ljust(14, "<")
    o += mrz_check_digit(o) if optional else "<"
    return first, f"{n}CHN{b}{sex}{e}{o}{mrz_check_digit(n + b + e + o)}"


def passport_number(rng):
    """E or G and eight digits, or E, a letter but I and O, and seven digits."""
    return rng.choice((f"E{rng.randint(10_000_000, 99_999_999)}", f"E{rng.choice('ABCDEFGHJKLMN')}{rng.randint(0, 9_999_999):07}", f"G{rng.randint(10_000_000, 99_999_999)}"))


def credit_code(rng, second, code):
    organisation = "MA" + "".join(rng.choice(CREDIT_ALPHABET) for _ in range(6)) if rng.random() < 0.6 else f"{rng.randint(10_000_000, 79_999_999)}"
    while organisation_check_digit(organisation) not in CREDIT_ALPHABET:
        organisation = organisation[:-1] + rng.choice("123456789")
    first17 = f"9{second}{code}{organisation}{organisation_check_digit(organisation)}"
    return first17 + credit_check_digit(first17)


def unit_code(rng, code):
    """GB/T 37346: 28 characters in four groups."""
    feature = rng.choice(("GB", "GB", "GB", "JC", "GX", "JB"))
    return (code, f"{rng.randint(1, 30):03}{rng.randint(1, 30):03}", f"{feature}{rng.randint(1, 400):05}", f"F{rng.randint(1, 9999):08}")
