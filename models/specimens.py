#!/usr/bin/python3
"""Renders specimen documents of invented people and companies, and what they truly say.

Needs only Debian's python3-pil and fonts-noto-cjk (more faces, where the packages named in synth/fonts.py are installed,
for the families train and held). The same arguments give the same documents: every choice comes from the seed.

  specimens.py --out DIR --seed 7 --count 30 --types id_front,deed_new --conditions clean,photo
  specimens.py --out DIR --types all --conditions all --layouts all --family train
  specimens.py --out DIR --demo

DIR gets the images; beside each NAME.jpg a NAME.json with doc_type, rotation, condition, layout, quad, quality, authenticity,
specimen, fields as printed and field_quads; and claims.jsonl, one line per image: file, doc_type, condition, claims as a
merchant would type them. Three types have a plain layout, always with 样本 across, that tests and the demonstration use
(--layouts plain, the default); the others are drawn in one of their many. With --demo it gets demo/licence.jpg,
demo/deed_blurred.jpg and demo/id_card.jpg of one merchant; the ID card's line also has claims_wrong.
"""
import argparse
import json
import pathlib
import random
import sys

sys.dont_write_bytecode = True  # the folder is part of the source tree
from synth import condition as conditions
from synth import ornament
from synth.look import Look
from synth.geometry import corners, moved
from synth.papers import DOCUMENTS, draw
from synth.plain import data, papers as plain

PLAIN = tuple(plain.RENDER)


class Plain:
    """A plain page in the shape that conditions take: no boxes are known."""

    def __init__(self, image):
        self.image, self.boxes = image, {}


def plain_page(rng, doc_type, subject):
    image, claims = plain.RENDER[doc_type](rng, subject)
    return Plain(image), claims


def write(out, name, rng, doc_type, page, layout, condition, claims, specimen, sink, **more):
    shot = conditions.take(rng, page, condition, doc_type)
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shot.image.save(path, "JPEG", quality=shot.jpeg)
    fields = getattr(page, "fields", claims)
    rounded = lambda points: [[round(x, 1), round(y, 1)] for x, y in points]
    truth = {
        "doc_type": doc_type, "rotation": shot.rotation, "condition": condition, "layout": layout, "quad": rounded(shot.quad), "quality": shot.quality,
        "authenticity": shot.authenticity, "specimen": specimen, "fields": fields,
        "field_quads": {name: rounded(moved(shot.to_image, corners(box))) for name, box in page.boxes.items()},
    }
    if hasattr(page, "watermark"):
        truth["watermark"] = page.watermark
    path.with_suffix(".json").write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sink.write(json.dumps({"file": name, "doc_type": doc_type, "condition": condition, "claims": claims, **more}, ensure_ascii=False) + "\n")


def batch(out, seed, count, types, wanted, layouts, family):
    with open(out / "claims.jsonl", "w", encoding="utf-8") as sink:
        for number in range(count):
            for condition in wanted:
                for doc_type in types:
                    name = f"{doc_type}-{condition}-{number:03}.jpg"
                    if layouts == "plain" and doc_type in PLAIN:
                        rng = random.Random(f"{seed}/{number}/{condition}/{doc_type}")
                        page, claims = plain_page(rng, doc_type, data.merchant(rng)[doc_type])
                        write(out, name, rng, doc_type, page, "plain", condition, claims, True, sink)
                        continue
                    rng = random.Random(f"{seed}/{family}/{number}/{condition}/{doc_type}")
                    page, layout = draw(Look(rng, family), doc_type)
                    specimen = doc_type != "other" and rng.random() < 0.75
                    if specimen:
                        ornament.specimen(page)
                    write(out, name, rng, doc_type, page, layout, condition, page.fields, specimen, sink)


def demo(out):
    rng = random.Random("demo")
    merchant = data.merchant(rng)
    other = data.person(random.Random("somebody else"))

    def one(name, doc_type, condition, sink, **more):
        page, claims = plain_page(rng, doc_type, merchant[doc_type])
        write(out, name, rng, doc_type, page, "plain", condition, claims, True, sink, **more)

    with open(out / "claims.jsonl", "w", encoding="utf-8") as sink:
        one("demo/licence.jpg", "business_licence", "clean", sink)
        one("demo/deed_blurred.jpg", "deed_new", "soft", sink)
        person = merchant["id_front"]
        right = {"name": person["name"], "sex": person["sex"], "ethnicity": person["ethnicity"],
                 "birth_date": person["birth"].isoformat(), "address": person["address"], "id_number": person["id_number"]}
        one("demo/id_card.jpg", "id_front", "clean", sink, claims_wrong={**right, "id_number": other["id_number"]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1, help="documents of each type in each condition")
    parser.add_argument("--types", "--kinds", default=",".join(PLAIN), help="a list, or all")
    parser.add_argument("--conditions", default="clean", help="a list, or all")
    parser.add_argument("--layouts", choices=("plain", "all"), default="plain")
    parser.add_argument("--family", choices=("base", "train", "held"), default="base", help="faces, words and places the pages are made of")
    parser.add_argument("--demo", action="store_true", help="the three documents of the demonstration instead")
    arguments = parser.parse_args()
    every = {"types": tuple(DOCUMENTS), "conditions": conditions.CONDITIONS}
    lists = {}
    for option, known in every.items():
        lists[option] = known if getattr(arguments, option) == "all" else getattr(arguments, option).split(",")
        for word in lists[option]:
            if word not in known:
                parser.error(f"{word!r} is none of {', '.join(known)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.demo:
        demo(arguments.out)
    else:
        batch(arguments.out, arguments.seed, arguments.count, lists["types"], lists["conditions"], arguments.layouts, arguments.family)
    print(f"specimens: written to {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
