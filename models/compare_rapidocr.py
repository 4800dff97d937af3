#!/usr/bin/env python3
"""RapidOCR 3.10.0 beside `haodian read --json`: the same pictures, the same number of threads, one after the other.

Run it with the Python of a virtual environment that has requirements-rapidocr.txt:

  /usr/bin/python3 models/specimens.py --out /tmp/pages --types all --layouts all --conditions clean,photo --count 5 --seed 9
  ./venv/bin/python models/compare_rapidocr.py /tmp/pages --haodian target/release/haodian --threads 1 --json /tmp/compare.json

A field is found where its printed value stands anywhere in the text after folding width, case and space. The character
error rate is the fewest edits between each value and any stretch of the text, over the characters of all values: lines
that are no field are not counted. Peak memory is the whole process's. Each reader is a process of its own, and the first
picture (loading of models) is read once before the clock starts.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unicodedata

PICTURES = (".jpg", ".jpeg", ".png")


def folded(text):
    """Width, case and space taken away, and the marks that readers write one way or the other."""
    text = unicodedata.normalize("NFKC", text).upper()
    text = text.replace("M²", "㎡").replace("M2", "㎡").replace("•", "·").replace("・", "·").replace("—", "-")
    return re.sub(r"\s+", "", text)


def edits(value, text):
    """Fewest insertions, deletions and replacements that turn some stretch of the text into the value."""
    row = [0] * (len(text) + 1)
    for number, wanted in enumerate(value, 1):
        before, row = row, [number]
        for at, char in enumerate(text, 1):
            row.append(min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (wanted != char)))
    return min(row)


def by_rapidocr(pictures, threads):
    """In a child: one JSON line per picture."""
    from rapidocr import RapidOCR
    reader = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": threads, "EngineConfig.onnxruntime.inter_op_num_threads": 1, "Global.log_level": "error"})
    reader(str(pictures[0]))
    for picture in pictures:
        began = time.perf_counter()
        found = reader(str(picture))
        print(json.dumps({"file": picture.name, "ms": (time.perf_counter() - began) * 1000, "text": "\n".join(found.txts or ())}, ensure_ascii=False), flush=True)


def run(command):
    """The lines of JSON that a command printed, its seconds and its peak memory in MiB."""
    environment = dict(os.environ)
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    lines = [json.loads(line) for line in child.stdout.read().decode("utf-8").splitlines() if line.startswith("{")]
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"compare: {command[0]} ended with status {status}")
    return lines, time.perf_counter() - began, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def score(lines, truths):
    """Fields found and characters wrong, of each condition and type and of all."""
    tables = {name: collections.defaultdict(lambda: [0, 0, 0, 0, 0]) for name in ("all", "condition", "type")}
    for name, truth in truths.items():
        text = folded(lines.get(name, {}).get("text", ""))
        extracted = {key: folded(str(value)) for key, value in (lines.get(name, {}).get("fields") or {}).items() if isinstance(value, str)}
        for field, value in truth["fields"].items():
            wanted = folded(value)
            for table, key in (("all", "all"), ("condition", truth["condition"]), ("type", truth["doc_type"])):
                row = tables[table][key]
                row[0] += 1
                row[1] += wanted in text
                row[2] += extracted.get(field) == wanted
                row[3] += 0 if wanted in text else edits(wanted, text)
                row[4] += len(wanted)
    return {table: {key: {"fields": n, "found_in_text": found, "extracted": extracted, "cer": round(wrong / max(1, chars), 4)} for key, (n, found, extracted, wrong, chars) in rows.items()} for table, rows in tables.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="pictures with NAME.json beside them, as specimens.py writes them")
    parser.add_argument("--haodian", default="target/release/haodian")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("rapidocr", "haodian"), help="leave the other out")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go; the table goes to stdout")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pictures = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in PICTURES and path.with_suffix(".json").exists())
    if not pictures:
        parser.error(f"{arguments.folder} holds no picture with its truth beside it")
    if arguments.child:
        return by_rapidocr(pictures, arguments.threads)
    truths = {path.name: json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in pictures}
    commands = {
        "rapidocr": [sys.executable, __file__, str(arguments.folder), "--child", "--threads", str(arguments.threads)],
        "haodian": [arguments.haodian, "read", *map(str, pictures), "--json", "--threads", str(arguments.threads)],
    }
    report = {"pictures": len(pictures), "threads": arguments.threads}
    for name, command in commands.items():
        if arguments.only in (None, name):
            lines, wall, peak, cpu = run(command)
            by_file = {pathlib.Path(line["file"]).name: line for line in lines}
            times = sorted(float(line["ms"]) for line in lines if "ms" in line)
            report[name] = {"read": len(lines), "s_per_image": round(sum(times) / max(1, len(times)) / 1000, 3), "p95_s": round(times[int(len(times) * 0.95) - 1] / 1000, 3) if times else None,
                            "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "peak_rss_mib": round(peak), **score(by_file, truths)}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    table(report)


def table(report):
    readers = [name for name in ("rapidocr", "haodian") if name in report]
    print(f"{report['pictures']} pictures, {report['threads']} thread(s)\n")
    print("| | " + " | ".join(readers) + " |\n| --- |" + " --- |" * len(readers))
    for key in ("s_per_image", "p95_s", "wall_s", "cpu_s", "peak_rss_mib"):
        print(f"| {key} | " + " | ".join(str(report[name][key]) for name in readers) + " |")
    for part in ("all", "condition", "type"):
        for key in report[readers[0]][part]:
            cells = []
            for name in readers:
                row = report[name][part][key]
                cells.append(f"{row['found_in_text']} of {row['fields']}, CER {row['cer']:.2%}" + (f", extracted {row['extracted']}" if name == "haodian" else ""))
            print(f"| {part if part == 'all' else part + ' ' + key} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
