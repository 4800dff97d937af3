"""A sheet to draw on, in units of 1/1000 of its width, that remembers where each field was printed."""
import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .fonts import font, runs


class Page:
    """`fields` are the values as printed, `boxes` their places in pixels: left, top, right, bottom."""

    def __init__(self, rng, width, tall, paper=(250, 249, 246)):
        """`width` in pixels, `tall` in units."""
        self.rng = rng
        self.width = width
        self.unit = width / 1000
        self.tall = tall
        self.image = Image.new("RGB", (width, round(tall * self.unit)), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.fields = {}
        self.boxes = {}
        self.stretch = 1.0  # of letters, in width: condensed and wide faces
        self.dots = False  # dot-matrix print
        self.wear = 0  # how much ink is missing from the print, 0 to 255

    def length(self, text, size, face="sans", spacing=0.0):
        used = sum(font(name, size * self.unit).getlength(part) for name, part in runs(face, text)) / self.unit
        return (used + spacing * size * max(0, len(text) - 1)) * self.stretch

    def fitting(self, text, size, face, width):
        """The largest size up to `size` at which the text is no wider than `width`."""
        while size > 6 and self.length(text, size, face) > width:
            size -= 0.5
        return size

    def field(self, name, value):
        """States a value that is printed; the text drawn with `field=name` marks its place."""
        self.fields[name] = value

    def text(self, x, y, text, size, face="sans", fill=(20, 20, 20), spacing=0.0, anchor="l", field=None, turn=0):
        """Draws a line with its top at y and returns where it ends; `anchor` is l, m or r."""
        long = self.length(text, size, face, spacing)
        x -= {"l": 0, "m": long / 2, "r": long}[anchor]
        if field:
            self.mark(field, x, y, x + long, y + size * 1.18)
        plain = self.stretch == 1.0 and not self.dots and turn == 0
        if plain:
            self._letters(self.draw, x * self.unit, y * self.unit, text, size, face, fill, spacing)
        else:
            self._as_layer(x, y, text, size, face, fill, spacing, long, turn)
        return x + long

    def _letters(self, pen, x, y, text, size, face, fill, spacing):
        for name, part in runs(face, text):
            used = font(name, size * self.unit)
            lift = 0.0 if name.startswith(("sans", "serif")) else size * self.unit * 0.14
            if spacing == 0.0:
                pen.text((x, y + lift), part, font=used, fill=fill)
                x += used.getlength(part)
                continue
            for char in part:
                pen.text((x, y + lift), char, font=used, fill=fill)
                x += used.getlength(char) + spacing * size * self.unit

    def _as_layer(self, x, y, text, size, face, fill, spacing, long, turn):
        wide, high = round(long / self.stretch * self.unit) + 4, round(size * self.unit * 1.6) + 4
        ink = Image.new("L", (wide, high), 0)
        self._letters(ImageDraw.Draw(ink), 0, 0, text, size, face, 255, spacing)
        if self.dots:
            ink = dotted(ink, max(2, size * self.unit / 11))
        if self.stretch != 1.0:
            ink = ink.resize((max(1, round(wide * self.stretch)), high), Image.BICUBIC)
        if turn:
            ink = ink.rotate(turn, expand=True, resample=Image.BICUBIC)
        self.image.paste(fill, (round(x * self.unit), round(y * self.unit)), ink)

    def mark(self, name, left, top, right, bottom):
        """Widens the place of a field."""
        box = [v * self.unit for v in (left, top, right, bottom)]
        old = self.boxes.get(name, box)
        self.boxes[name] = [min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3])]

    def justified(self, x, y, text, size, chars, face="sans", fill=(20, 20, 20)):
        """A label spread over the width of `chars` characters, as forms set short labels."""
        gap = (chars - len(text)) / max(1, len(text) - 1) if len(text) < chars else 0.0
        return self.text(x, y, text, size, face, fill, spacing=gap)

    def lines(self, text, size, face, width, hang=0.0):
        """Cut where the line is full; a newline of the text cuts too."""
        out = []
        for block in text.split("\n"):
            line = ""
            for char in block:
                if line and self.length(line + char, size, face) > width:
                    out.append(line)
                    line = ""
                line += char
            out.append(line)
        return out

    def wrapped(self, x, y, text, size, width, leading=1.35, face="sans", fill=(20, 20, 20), field=None):
        """Returns how many lines it took."""
        lines = self.lines(text, size, face, width)
        for number, line in enumerate(lines):
            self.text(x, y + number * size * leading, line, size, face, fill, field=field)
        return len(lines)

    def line(self, points, fill=(60, 60, 60), width=1.2):
        self.draw.line([(x * self.unit, y * self.unit) for x, y in points], fill=fill, width=max(1, round(width * self.unit)))

    def box(self, left, top, right, bottom, fill=None, outline=None, width=1.2, radius=0.0):
        u = self.unit
        self.draw.rounded_rectangle([left * u, top * u, right * u, bottom * u], radius * u, fill, outline, max(1, round(width * u)))

    def over(self, layer):
        self.image = Image.alpha_composite(self.image.convert("RGBA"), layer).convert("RGB")
        self.draw = ImageDraw.Draw(self.image)

    def layer(self):
        return Image.new("RGBA", self.image.size, (0, 0, 0, 0))

    def paste(self, tile, x, y, mask=None):
        self.image.paste(tile, (round(x * self.unit), round(y * self.unit)), mask)


def dotted(ink, pitch):
    """Print of a needle printer: dots of `pitch` pixels."""
    wide, high = ink.size
    small = ink.resize((max(1, round(wide / pitch)), max(1, round(high / pitch))), Image.BOX).point(lambda v: 255 if v > 70 else 0)
    if pitch < 2.6:
        return ImageChops.multiply(ink, small.resize(ink.size, Image.BILINEAR).point(lambda v: min(255, 110 + v)))
    cell = Image.new("L", (8, 8), 0)
    ImageDraw.Draw(cell).ellipse([0, 0, 7.5, 7.5], fill=255)
    cell = cell.resize((max(2, round(pitch)),) * 2, Image.BILINEAR)
    big = small.resize((small.width * cell.width, small.height * cell.height), Image.NEAREST)
    screen = Image.new("L", big.size)
    row = Image.new("L", (big.width, cell.height))
    for left in range(0, big.width, cell.width):
        row.paste(cell, (left, 0))
    for top in range(0, big.height, cell.height):
        screen.paste(row, (0, top))
    return ImageChops.multiply(big, screen).resize(ink.size, Image.BILINEAR).filter(ImageFilter.GaussianBlur(0.4))
