#!/usr/bin/env python3
"""Trains models/classifier.onnx: which paper a picture shows and how it is turned, on pages of synth/ only.

Needs the packages of requirements-training.txt in a virtual environment, fonts-noto-cjk and the packages named in
synth/fonts.py; two CPU cores are enough. Steps, each a command; the cache is left out of the repository:

  train_classifier.py render  --cache DIR --seed 1          pages at 450 pixels (train) and pictures of held-out pages
  train_classifier.py train   --cache DIR --steps N         writes DIR/classifier.pt
  train_classifier.py export  --cache DIR                   writes classifier.onnx and classifier.toml beside this file
  train_classifier.py measure --cache DIR [--onnx FILE]     the tables of classifier.md, on the held-out pictures
"""
import argparse
import hashlib
import io
import json
import math
import os
import pathlib
import pickle
import random
import sys
import time

sys.dont_write_bytecode = True
from PIL import Image, ImageDraw, ImageFilter

from synth import condition as conditions, ornament, surface
from synth.geometry import corners, homography
from synth.look import Look
from synth.papers import DOCUMENTS, draw

HERE = pathlib.Path(__file__).resolve().parent
LABELS = list(DOCUMENTS)
TURNS = (0, 90, 180, 270)
SIDE = 224
GREY = (127, 127, 127)
VERSION = "synth-1"
SHAPELESS = {"scene", "blank"}  # no way is up
# What held-out pictures are taken in; the first half of each is for calibration, the second for the report.
HELD_CONDITIONS = ("clean", "photo", "half", "rotated90", "rotated180", "rotated270", "seal", "watermark", "photocopy", "screen", "glare", "dark", "cut", "occluded", "blurred")


def fitted(image):
    """What the network is given: the picture scaled to fit, on mid-grey, centred."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    out = Image.new("RGB", (SIDE, SIDE), GREY)
    out.paste(image.resize(size, Image.BILINEAR, reducing_gap=2.0), ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return out


# ---- pages -----------------------------------------------------------------------------------------------------------

def page_of(task):
    """One page for training: doc_type, layout, JPEG."""
    seed, number, doc_type = task
    rng = random.Random(f"{VERSION}/{seed}/{number}/{doc_type}")
    page, layout = draw(Look(rng, "train", long_side=450), doc_type)
    if doc_type != "other" and rng.random() < 0.55 or rng.random() < 0.08:
        ornament.specimen(page)
    if rng.random() < 0.10:
        conditions.watermark(rng, page)
    if rng.random() < 0.08:
        conditions.seal_over(rng, page)
    return doc_type, layout, encoded(page.image, 94)


def picture_of(task):
    """One held-out picture: doc_type, layout, condition, rotation, PNG as the network is given it."""
    seed, number, doc_type, condition = task
    rng = random.Random(f"{VERSION}/held/{seed}/{number}/{doc_type}/{condition}")
    look = Look(rng, "held", long_side=rng.randint(760, 1000))
    page, layout = draw(look, doc_type)
    if doc_type != "other" and rng.random() < 0.55:
        ornament.specimen(page)
    shot = conditions.take(rng, page, condition, doc_type)
    rotation = shot.rotation
    if not condition.startswith("rotated") and rng.random() < 0.3:  # any picture may lie on its side
        more = rng.choice((90, 180, 270))
        shot.image = shot.image.rotate(-more, expand=True)
        rotation = more
    shot.image = Image.open(io.BytesIO(encoded(shot.image, shot.jpeg)))
    out = io.BytesIO()
    fitted(shot.image.convert("RGB")).save(out, "PNG")
    return doc_type, layout, condition, rotation, out.getvalue()


def encoded(image, quality):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def render(arguments):
    import multiprocessing
    arguments.cache.mkdir(parents=True, exist_ok=True)
    per_type = arguments.pages
    tasks = [(arguments.seed, n, t) for t in LABELS for n in range(per_type * (4 if t == "other" else 1))]
    held = [(arguments.seed, n, t, c) for t in LABELS for c in HELD_CONDITIONS for n in range(arguments.held * (2 if t == "other" else 1))]
    for name, work, todo in (("train", page_of, tasks), ("held", picture_of, held)):
        if name not in arguments.sets.split(","):
            continue
        began = time.time()
        with multiprocessing.Pool(arguments.workers) as pool:
            done = pool.map(work, todo, chunksize=16)
        with open(arguments.cache / f"{name}.pickle", "wb") as sink:
            pickle.dump(done, sink)
        print(f"{name}: {len(done)} in {time.time() - began:.0f} s", flush=True)


# ---- augmentation ----------------------------------------------------------------------------------------------------

def augmented(rng, image, noise, mild=False):
    """The page as some camera may see it, fitted for the network, and how it lies: image, number of quarter turns.

    `mild` is a scan or a careful photo; the network begins with those and comes to the others by and by."""
    import numpy as np
    quarter = rng.randrange(4)
    if quarter:
        image = image.transpose((None, Image.ROTATE_270, Image.ROTATE_180, Image.ROTATE_90)[quarter])
    wide, high = image.size
    if rng.random() < 0.3:  # stretched or squeezed
        wide *= rng.uniform(0.9, 1.1)
    kind = rng.random() * (0.7 if mild else 1.0)
    margins = [rng.uniform(0, 0.03) if kind < 0.3 else rng.uniform(0.0, 0.2) if kind < 0.75 else rng.uniform(0.05, 0.7) if kind < 0.88 else rng.uniform(-0.2, 0.15) for _ in range(4)]
    left, top = margins[0] * wide, margins[1] * high
    frame = (wide + left + margins[2] * wide, high + top + margins[3] * high)
    scale = SIDE / max(frame)
    size = (max(8, round(frame[0] * scale)), max(8, round(frame[1] * scale)))
    tilt = 0.0 if kind < 0.15 else rng.uniform(0.0, 0.02 if mild else 0.06)
    turn = 0.0 if kind < 0.15 else math.radians(rng.gauss(0, 1.5 if mild else 4))
    cx, cy = left + wide / 2, top + high / 2
    quad = []
    for x, y in corners((left, top, left + wide, top + high)):
        x, y = x + rng.uniform(-tilt, tilt) * wide - cx, y + rng.uniform(-tilt, tilt) * high - cy
        quad.append(((cx + x * math.cos(turn) - y * math.sin(turn)) * scale, (cy + x * math.sin(turn) + y * math.cos(turn)) * scale))
    target = max(16, round(max(math.dist(quad[0], quad[1]), math.dist(quad[1], quad[2]))))
    if target < max(image.size):
        ratio = target / max(image.size)
        image = image.resize((max(8, round(image.width * ratio)), max(8, round(image.height * ratio))), rng.choice((Image.BILINEAR, Image.BICUBIC, Image.BOX)))
    canvas = surface.table(rng, size) if rng.random() < 0.75 else Image.new("RGB", size, tuple(rng.randint(0, 255) for _ in range(3)) if rng.random() < 0.5 else (255, 255, 255))
    if rng.random() < 0.08:  # a screen's bezel
        pen = ImageDraw.Draw(canvas)
        grow = rng.uniform(0.03, 0.12)
        mx, my = sum(x for x, _ in quad) / 4, sum(y for _, y in quad) / 4
        pen.polygon([(mx + (x - mx) * (1 + grow), my + (y - my) * (1 + grow)) for x, y in quad], fill=(rng.randint(5, 40),) * 3)
    back = homography(quad, corners((0, 0, *image.size)))
    page = image.transform(size, Image.PERSPECTIVE, back, Image.BILINEAR)
    cover = Image.new("L", image.size, 255).transform(size, Image.PERSPECTIVE, back, Image.BILINEAR)
    canvas.paste(page, (0, 0), cover)
    if not mild:
        covered(rng, canvas)
    if rng.random() < (0.1 if mild else 0.35):
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.5)))
    if rng.random() < (0.1 if mild else 0.4):
        canvas = Image.open(io.BytesIO(encoded(canvas, rng.randint(35, 90)))).convert("RGB")
    pixels = np.asarray(canvas, np.float32)
    pixels = (pixels - 128) * rng.uniform(0.8, 1.1) + 128 + rng.uniform(-25, 10) if mild else lit(rng, pixels, noise)
    out = np.full((SIDE, SIDE, 3), 127, np.uint8)
    y, x = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    out[y:y + size[1], x:x + size[0]] = np.clip(pixels, 0, 255).astype(np.uint8)
    return out, quarter


def covered(rng, canvas):
    """Fingers, notes and lamps on the page, at times."""
    wide, high = canvas.size
    pen = ImageDraw.Draw(canvas)
    if rng.random() < 0.18:
        x, y, r = rng.uniform(0, wide), rng.uniform(0, high), rng.uniform(0.05, 0.17) * max(wide, high)
        fill = rng.choice(((224, 180, 150), (200, 150, 120), (150, 105, 80), (255, 255, 255), (40, 40, 40), tuple(rng.randint(0, 255) for _ in range(3))))
        if rng.random() < 0.6:
            pen.line([(x, y), (x + rng.uniform(-1, 1) * wide, y + rng.uniform(-1, 1) * high)], fill=fill, width=round(r))
            pen.ellipse([x - r / 2, y - r / 2, x + r / 2, y + r / 2], fill=fill)
        else:
            pen.rectangle([x, y, x + r * 1.6, y + r], fill=fill)
    if rng.random() < 0.12:
        light = Image.new("L", canvas.size, 0)
        x, y, r = rng.uniform(0, wide), rng.uniform(0, high), rng.uniform(0.06, 0.2) * max(wide, high)
        ImageDraw.Draw(light).ellipse([x - r, y - r * rng.uniform(0.4, 1), x + r, y + r * 0.7], fill=255)
        canvas.paste((255, 255, 255), (0, 0), light.filter(ImageFilter.GaussianBlur(r / 3)))


def lit(rng, pixels, noise):
    """Colour, light, shade, grain, interference."""
    import numpy as np
    high, wide, _ = pixels.shape
    if rng.random() < 0.2:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
    elif rng.random() < 0.5:
        grey = pixels.mean(2, keepdims=True)
        pixels = grey + (pixels - grey) * rng.uniform(0.2, 1.7)
        pixels = pixels * np.array([rng.uniform(0.82, 1.18) for _ in range(3)], np.float32)
    pixels = (pixels - 128) * rng.uniform(0.6, 1.5) + 128 + rng.uniform(-35, 35)
    if rng.random() < 0.08:
        pixels = pixels * rng.uniform(0.15, 0.5)
    if rng.random() < 0.5:
        low, angle = rng.uniform(0.45, 1), rng.uniform(0, 2 * math.pi)
        slope = np.linspace(-1, 1, wide, dtype=np.float32)[None, :] * math.cos(angle) + np.linspace(-1, 1, high, dtype=np.float32)[:, None] * math.sin(angle)
        if rng.random() < 0.3:
            slope = np.tanh(slope * 8)
        pixels = pixels * (low + (1 - low) * (slope[:, :, None] + 1.4) / 2.8)
    if rng.random() < 0.08:
        x, y = np.meshgrid(np.arange(wide, dtype=np.float32), np.arange(high, dtype=np.float32))
        angle, pitch = rng.uniform(0, math.pi), rng.uniform(2.2, 14)
        pixels = pixels + rng.uniform(4, 20) * np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / pitch)[:, :, None]
    if rng.random() < 0.6:
        at = rng.randrange(len(noise) - high * wide * 3)
        pixels = pixels + noise[at:at + high * wide * 3].reshape(high, wide, 3) * rng.uniform(1, 14)
    return pixels


# ---- network ---------------------------------------------------------------------------------------------------------

def network():
    import torch
    from torch import nn

    def bn(channels):
        return nn.BatchNorm2d(channels, momentum=0.1)

    class Block(nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.path = nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), bn(after), nn.ReLU(inplace=True), nn.Conv2d(after, after, 3, 1, 1, bias=False), bn(after))
            self.skip = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), bn(after))

        def forward(self, x):
            return torch.relu(self.path(x) + self.skip(x))

    def brightened(x):
        """Light for a picture that has none: what is not padding is scaled so that its brightest spot is near white.

        Never darker; pages lit as usual stay as they are. Plain arithmetic, so that every runtime has it."""
        padding = (127 / 255 - 0.5) / 0.5
        inside = ((x - padding).abs().amax(1, keepdim=True) * 1000).clamp(0, 1)
        shown = (x + 1) / 2
        brightest = nn.functional.avg_pool2d((shown * inside).mean(1, keepdim=True), 8).amax((2, 3), keepdim=True)
        gain = (0.9 / brightest.clamp(0.05, 1)).clamp(1, 6)
        return (shown * (1 + (gain - 1) * inside)).clamp(0, 1) * 2 - 1

    class Net(nn.Module):
        """Two thirds of a million weights: four residual steps down to 7 x 7, then what is there and where it is."""

        def __init__(self, widths=(16, 24, 48, 96, 160), where=20, embedding=96):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), bn(widths[0]), nn.ReLU(inplace=True))
            self.body = nn.Sequential(*[Block(a, b) for a, b in zip(widths, widths[1:])])
            self.where = nn.Sequential(nn.Conv2d(widths[-1], where, 1, bias=False), bn(where), nn.ReLU(inplace=True))
            self.neck = nn.Sequential(nn.Linear(widths[-1] + where * 49, embedding), nn.ReLU(inplace=True))
            self.kind = nn.Linear(embedding, len(LABELS))
            self.turn = nn.Linear(embedding, len(TURNS))

        def forward(self, x):
            x = self.body(self.stem(x if self.training else brightened(x)))
            spots = self.where(x).flatten(1)
            neck = self.neck(torch.cat([x.mean((2, 3)), spots], 1))
            return self.kind(neck), self.turn(neck), neck

    return Net()


def normalised(batch):
    """uint8 [N,224,224,3] to what the network takes."""
    return (batch.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def train(arguments):
    import numpy as np
    import torch
    from torch.nn import functional as F

    os.nice(max(0, 19 - os.nice(0)))
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    with open(arguments.cache / "train.pickle", "rb") as source:
        pages = pickle.load(source)
    classes = np.array([LABELS.index(doc_type) for doc_type, _, _ in pages])

    class Pages(torch.utils.data.Dataset):
        """Step by step: the page, the turn and the spoiling come from the seed and the place in the run alone."""

        def __len__(self):
            return arguments.steps * arguments.batch

        def __getitem__(self, at):
            rng = random.Random(f"{arguments.seed}/{at}")
            doc_type, layout, jpeg = pages[rng.randrange(len(pages))]
            if not hasattr(self, "noise"):
                self.noise = np.random.default_rng(1).normal(size=4_000_000).astype(np.float32)
            mild = rng.random() < (0.25 if arguments.resume else max(0.25, 1 - 1.4 * at / len(self)))
            image, quarter = augmented(rng, Image.open(io.BytesIO(jpeg)).convert("RGB"), self.noise, mild)
            return torch.from_numpy(image), LABELS.index(doc_type), -100 if layout in SHAPELESS else quarter

    loader = torch.utils.data.DataLoader(Pages(), batch_size=arguments.batch, shuffle=False, num_workers=arguments.workers, prefetch_factor=4)
    net = network()
    history = []  # seed and steps of each part of the training
    if arguments.resume:
        before = torch.load(arguments.resume, weights_only=True)
        net.load_state_dict(before["net"])
        history = before["history"]
    net = net.to(memory_format=torch.channels_last)
    shadow = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.996), use_buffers=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=arguments.rate, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, arguments.rate, total_steps=arguments.steps, pct_start=0.12)
    print(f"{len(pages)} pages, {sum(p.numel() for p in net.parameters())} weights, {np.bincount(classes).tolist()} of each type", flush=True)
    began, seen = time.time(), []
    for step, (images, kinds, turns) in enumerate(loader, 1):
        x = normalised(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            kind, turn, _ = net(x)
        kind, turn = kind.float(), turn.float()
        loss = F.cross_entropy(kind, kinds, label_smoothing=0.03) + 0.6 * F.cross_entropy(turn, turns, ignore_index=-100, label_smoothing=0.02)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        plan.step()
        if step > 200 or arguments.resume:
            shadow.update_parameters(net)
        known = turns >= 0
        seen.append((loss.item(), (kind.argmax(1) == kinds).float().mean().item(), (turn.argmax(1) == turns)[known].float().mean().item()))
        if step % 50 == 0:
            means = [sum(values) / len(values) for values in zip(*seen[-50:])]
            print(f"step {step}: loss {means[0]:.3f} type {means[1]:.3f} rotation {means[2]:.3f}, {(time.time() - began) / step:.2f} s/step", flush=True)
        if step % 200 == 0 or step == arguments.steps:
            chosen = shadow.module if step >= 800 or arguments.resume else net
            torch.save({"net": chosen.state_dict(), "history": history + [[arguments.seed, step]], "seconds": time.time() - began}, arguments.cache / "classifier.pt")


# ---- export and measurement ------------------------------------------------------------------------------------------

def held_out(cache, half):
    """Held-out pictures: those for calibration (half 0) or those for the report (half 1)."""
    import numpy as np
    with open(cache / "held.pickle", "rb") as source:
        items = pickle.load(source)[half::2]
    images = np.stack([np.asarray(Image.open(io.BytesIO(png)), np.float32) for *_, png in items]).transpose(0, 3, 1, 2)
    return [item[:4] for item in items], (images / 255 - 0.5) / 0.5


def answers(onnx, images):
    import numpy as np
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    out = [session.run(["type", "rotation"], {"x": images[i:i + 32].astype(np.float32)}) for i in range(0, len(images), 32)]
    return np.concatenate([t for t, _ in out]), np.concatenate([r for _, r in out])


def energies(logits, temperature):
    import numpy as np
    scaled = logits / temperature
    top = scaled.max(1, keepdims=True)
    return -(top[:, 0] + np.log(np.exp(scaled - top).sum(1)))


def export(arguments):
    import numpy as np
    import torch
    net = network()
    saved = torch.load(arguments.cache / "classifier.pt", weights_only=True)
    net.load_state_dict(saved["net"])
    net.eval()
    onnx = HERE / "classifier.onnx"
    torch.onnx.export(net, torch.zeros(1, 3, SIDE, SIDE), onnx, opset_version=17, dynamo=False, input_names=["x"], output_names=["type", "rotation", "embedding"],
                      dynamic_axes={name: {0: "n"} for name in ("x", "type", "rotation", "embedding")})
    facts, images = held_out(arguments.cache, 0)
    logits, turns = answers(onnx, images)
    with torch.no_grad():
        own = net(torch.from_numpy(images[:64].astype(np.float32)))
    apart = max(float(np.abs(own[0].numpy() - logits[:64]).max()), float(np.abs(own[1].numpy() - turns[:64]).max()))
    assert apart < 1e-3, apart
    truth = np.array([LABELS.index(fact[0]) for fact in facts])
    grid = np.exp(np.linspace(math.log(0.4), math.log(4), 60))
    def loss(logits, truth, t):
        scaled = logits / t
        return float((np.log(np.exp(scaled - scaled.max(1, keepdims=True)).sum(1)) + scaled.max(1) - scaled[np.arange(len(truth)), truth]).mean())
    temperature = float(min(grid, key=lambda t: loss(logits, truth, t)))
    known = np.array([fact[3] // 90 if fact[1] not in SHAPELESS else -1 for fact in facts])
    rotation_temperature = float(min(grid, key=lambda t: loss(turns[known >= 0], known[known >= 0], t)))
    readable = np.array([fact[0] != "other" and fact[2] not in ("blurred", "dark", "cut") for fact in facts])
    threshold = float(np.quantile(energies(logits, temperature)[readable], 0.99))
    sha = hashlib.sha256(onnx.read_bytes()).hexdigest()
    (HERE / "classifier.toml").write_text(f'''# Written by `train_classifier.py export`; the card is classifier.md.
file = "classifier.onnx"
sha256 = "{sha}"
data_version = "{VERSION}"
render_seed = {arguments.render_seed}
train_seeds = {[seed for seed, _ in saved["history"]]}
steps = {[steps for _, steps in saved["history"]]}
labels = {json.dumps(LABELS)}
rotations_degrees = {json.dumps(list(TURNS))}  # clockwise, by which the upright page was turned

[input]
name = "x"
size_pixels = {SIDE}
channels = "RGB"
fit = "scale the turned-by-EXIF photo to fit, keep its aspect, pad centred"
pad_value = 127
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]

[output]
type = "type"
rotation = "rotation"
embedding = "embedding"

[calibration]
# chosen on {len(facts)} held-out synthetic pictures, another half of which the card reports
type_temperature = {temperature:.4f}
rotation_temperature = {rotation_temperature:.4f}
# -logsumexp(type / type_temperature) above this is out of distribution: 1 % of readable pages of the twelve papers lie above
ood_threshold = {threshold:.4f}
''', encoding="utf-8")
    print(f"{onnx.stat().st_size} bytes, sha256 {sha}, torch and onnxruntime differ by at most {apart:.1e}; temperature {temperature:.3f}, threshold {threshold:.3f}")


def interval(right, n, level=0.95):
    """Clopper-Pearson, by bisection on the binomial tail."""
    def tail(p, k):  # P(X >= k)
        if k <= 0:
            return 1.0
        if p <= 0.0 or p >= 1.0:
            return float(p >= 1.0)
        return math.fsum(math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)) for i in range(k, n + 1))
    def solve(reached):
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if not reached(middle) else (low, middle)
        return low
    side = (1 - level) / 2
    lower = 0.0 if right == 0 else solve(lambda p: tail(p, right) >= side)
    upper = 1.0 if right == n else solve(lambda p: 1 - tail(p, right + 1) <= side)
    return lower, upper


def measure(arguments):
    import collections
    import numpy as np
    import tomllib
    facts, images = held_out(arguments.cache, 1)
    logits, turns = answers(arguments.onnx, images)
    card = tomllib.loads(arguments.onnx.with_suffix(".toml").read_text(encoding="utf-8"))["calibration"]
    kinds, quarters = logits.argmax(1), turns.argmax(1)
    energy = energies(logits, card["type_temperature"])
    strange = energy > card["ood_threshold"]
    rows = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    wrong = collections.Counter()
    for (doc_type, layout, condition, rotation), kind, quarter, out in zip(facts, kinds, quarters, strange):
        right, upright = LABELS[kind] == doc_type, TURNS[quarter] == rotation
        for key in (("type", doc_type), ("condition", condition if doc_type != "other" else f"other, {condition}"), ("all", "twelve papers" if doc_type != "other" else "other")):
            row = rows[key]
            row[0] += 1
            row[1] += right
            row[2] += layout not in SHAPELESS
            row[3] += upright and layout not in SHAPELESS
            row[4] += bool(out)
        if not right:
            wrong[f"{doc_type} ({layout}, {condition}) taken for {LABELS[kind]}"] += 1
    for group in ("all", "type", "condition"):
        print(f"\n| {group} | n | type right | 95 % interval | rotation right | 95 % interval | above the OOD threshold |\n| --- | --- | --- | --- | --- | --- | --- |")
        for (kind, name), (n, right, m, upright, out) in rows.items():
            if kind == group:
                a, b = interval(right, n)
                c, d = interval(upright, m)
                print(f"| {name} | {n} | {right} ({right / n:.1%}) | {a:.1%} to {b:.1%} | {upright} of {m} ({upright / max(1, m):.1%}) | {c:.1%} to {d:.1%} | {out} |")
    permits = {"hkmo_permit", "taiwan_permit", "taiwan_compatriot"}
    apart = [(LABELS[k] == f[0], LABELS[k] == f[0] or (LABELS[k] in permits and f[0] in permits)) for k, f in zip(kinds, facts) if f[0] != "other"]
    print(f"\nof the twelve papers with the three permits counted as one: {sum(any_ for _, any_ in apart)} of {len(apart)} right")
    scaled = logits / card["type_temperature"]
    share = np.exp(scaled - scaled.max(1, keepdims=True))
    sure = (share.max(1) / share.sum(1)) > 0.99
    correct = np.array([LABELS[k] == f[0] for k, f in zip(kinds, facts)])
    print(f"with confidence over 0.99: {sure.sum()} of {len(facts)}, wrong among them {(sure & ~correct).sum()}")
    for line, count in wrong.most_common(40):
        print(f"- {count} x {line}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("render", "train", "export", "measure"))
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--render-seed", type=int, default=1, help="what the cache was rendered with, for the record")
    parser.add_argument("--pages", type=int, default=260, help="training pages of each paper; four times as many others")
    parser.add_argument("--held", type=int, default=6, help="held-out pictures of each type in each condition; twice as many others")
    parser.add_argument("--sets", default="train,held")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", type=pathlib.Path, help="go on from these weights, with the harder pictures at once")
    parser.add_argument("--onnx", type=pathlib.Path, default=HERE / "classifier.onnx")
    arguments = parser.parse_args()
    {"render": render, "train": train, "export": export, "measure": measure}[arguments.what](arguments)


if __name__ == "__main__":
    main()
