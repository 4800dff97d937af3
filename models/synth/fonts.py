"""Typefaces that pages are set in: the base ones every machine has, more where Debian's font packages are installed."""
import functools
import pathlib
import sys

try:
    from PIL import ImageFont
except ImportError:
    sys.exit("specimens: Pillow is missing; install python3-pil and run this with /usr/bin/python3.")

NOTO = "/usr/share/fonts/opentype/noto/Noto"
TTF = "/usr/share/fonts/truetype/"
# name: (file, face inside the file; 2 is simplified Chinese inside the Noto collections)
BASE = {
    "sans": (NOTO + "SansCJK-Regular.ttc", 2), "sans_bold": (NOTO + "SansCJK-Bold.ttc", 2),
    "serif": (NOTO + "SerifCJK-Regular.ttc", 2), "serif_bold": (NOTO + "SerifCJK-Bold.ttc", 2),
    "sans_mono": (NOTO + "SansCJK-Regular.ttc", 7),
    "latin": (TTF + "dejavu/DejaVuSans.ttf", 0), "latin_mono": (TTF + "dejavu/DejaVuSansMono.ttf", 0),
    "latin_serif": (TTF + "dejavu/DejaVuSerif.ttf", 0),
}
# fonts-wqy-zenhei, fonts-arphic-ukai, fonts-arphic-uming, fonts-lxgw-wenkai, fonts-ocr-b, fonts-liberation
EXTRA = {
    "zenhei": (TTF + "wqy/wqy-zenhei.ttc", 0), "kai": (TTF + "arphic/ukai.ttc", 0), "ming": (TTF + "arphic/uming.ttc", 0),
    "wenkai": (TTF + "lxgw-wenkai/LXGWWenKai-Regular.ttf", 0), "wenkai_bold": (TTF + "lxgw-wenkai/LXGWWenKai-Bold.ttf", 0),
    "ocrb": ("/usr/share/fonts/opentype/ocr-b/OCRB.otf", 0), "arial": (TTF + "liberation/LiberationSans-Regular.ttf", 0),
    "times": (TTF + "liberation/LiberationSerif-Regular.ttf", 0),
}
# fonts-wqy-microhei, fonts-arphic-gbsn00lp, fonts-arphic-gkai00mp, fonts-freefont-ttf: only in held-out pages
HELD = {
    "microhei": (TTF + "wqy/wqy-microhei.ttc", 0), "song": (TTF + "arphic-gbsn00lp/gbsn00lp.ttf", 0),
    "kai_gb": (TTF + "arphic-gkai00mp/gkai00mp.ttf", 0), "wenkai_light": (TTF + "lxgw-wenkai/LXGWWenKai-Light.ttf", 0),
    "free_mono": (TTF + "freefont/FreeMonoBold.ttf", 0), "liberation_mono": (TTF + "liberation/LiberationMono-Regular.ttf", 0),
    "free_sans": (TTF + "freefont/FreeSans.ttf", 0),
}
ALL = {**BASE, **EXTRA, **HELD}
LATIN_ONLY = {"latin", "latin_mono", "latin_serif", "ocrb", "arial", "times", "free_mono", "liberation_mono", "free_sans"}


def installed(names):
    """Those of the names whose file is on this machine."""
    return [name for name in names if pathlib.Path(ALL[name][0]).exists()]


@functools.lru_cache(maxsize=2000)
def _load(name, size):
    path, index = ALL[name]
    try:
        return ImageFont.truetype(path, size, index=index)
    except OSError:
        sys.exit(f"specimens: the font {path} is missing; install fonts-noto-cjk or the package named in synth/fonts.py.")


def font(name, size):
    """The face at so many pixels; a face that is not installed is DejaVu Sans or Noto Sans."""
    if not pathlib.Path(ALL[name][0]).exists():
        name = "latin" if name in LATIN_ONLY and installed(["latin"]) else "sans"
    return _load(name, max(5, round(size)))


@functools.lru_cache(maxsize=100_000)
def covers(name, char):
    """Whether the face has the character: what it lacks is drawn as the same box as an unassigned one."""
    if ord(char) < 0x80:
        return True
    if name in LATIN_ONLY:
        return ord(char) < 0x250
    used = font(name, 32)
    return bytes(used.getmask(char)) not in (bytes(used.getmask("\U0010fffd")), b"")


def stand_in(name):
    """The base face that draws what `name` lacks."""
    return "serif" if name in ("serif", "serif_bold", "kai", "ming", "song", "kai_gb", "wenkai", "wenkai_light", "wenkai_bold") else "sans"


def runs(name, text):
    """The text cut into pieces with the face that can draw each."""
    out = []
    for char in text:
        used = name if covers(name, char) else stand_in(name)
        if out and out[-1][0] == used:
            out[-1][1] += char
        else:
            out.append([used, char])
    return out
