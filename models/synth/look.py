"""The choices that make one page unlike the next: faces, paper, ink, size, how worn it is."""
from . import fonts
from .page import Page

TRAIN = ["sans", "sans", "sans_bold", "serif", "serif", "serif_bold", "zenhei", "kai", "ming", "wenkai", "wenkai_bold"]
HELD = ["microhei", "song", "kai_gb", "wenkai_light", "sans_mono"]
BASE = ["sans", "sans_bold", "serif", "serif_bold"]
MACHINE = {"train": ["ocrb", "latin_mono"], "held": ["liberation_mono", "free_mono", "ocrb"], "base": ["latin_mono", "sans_mono"]}


class Look:
    """`family` is base (faces every machine has), train or held; `long_side` in pixels, or None for a camera's sizes."""

    def __init__(self, rng, family="base", long_side=None):
        self.rng = rng
        self.family = family
        self.held = family == "held"
        self.long_side = long_side
        names = {"base": BASE, "train": TRAIN, "held": HELD}[family]
        self.faces = fonts.installed(names) or BASE

    def face(self, *preferred):
        """One of the preferred faces that this family has, else any."""
        fit = [name for name in preferred if name in self.faces]
        return self.rng.choice(fit if fit and self.rng.random() < 0.7 else self.faces)

    def machine(self):
        """The face of a machine-readable line."""
        return self.rng.choice(fonts.installed(MACHINE[self.family]) or ["latin_mono"])

    def sheet(self, tall, paper=(250, 249, 246), pixels=(1000, 1500)):
        """A page `tall` units high; `pixels` is the range of its long side."""
        long_side = self.long_side or self.rng.randint(*pixels)
        width = long_side if tall <= 1000 else round(long_side * 1000 / tall)
        page = Page(self.rng, width, tall, tuple(max(0, min(255, c + self.rng.randint(-6, 6))) for c in paper))
        if self.rng.random() < 0.25:
            page.stretch = self.rng.choice((0.86, 0.92, 1.07))
        return page

    def chance(self, share):
        return self.rng.random() < share

    def between(self, low, high):
        return self.rng.uniform(low, high)
