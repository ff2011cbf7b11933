#!/usr/bin/env python3
"""What the daemon and its image are made of, as one CycloneDX 1.5 document: the crates by cargo-cyclonedx, and what cargo does not know
of, with the sums that pin it: the wheels that libtorch came from, and the bundled models. The distribution's packages in an image's
base are not in it: its own scanner reads them from dpkg's list. Standard library only."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = "nerd-sbom"
WHEEL = re.compile(r"([0-9a-f]{64})  ((.+?)-(.+?)-.+\.whl)")
TORCH = {"id": "BSD-3-Clause"}
# As these wheels' metadata put it.
NVIDIA = {"name": "NVIDIA Proprietary Software"}


def fail(message):
    sys.exit(f"sbom: {message}")


def crates():
    """By cargo-cyclonedx, for what is built on this machine; it writes beside Cargo.toml only."""
    if not shutil.which("cargo-cyclonedx"):
        fail("cargo-cyclonedx is needed: cargo install cargo-cyclonedx --locked --version 0.5.9")
    beside = ROOT / f"{WRITTEN}.json"
    command = ["cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--no-build-deps", "--override-filename", WRITTEN]
    try:
        subprocess.run(command, cwd=ROOT, check=True)
        return beside.read_text()
    except subprocess.CalledProcessError as error:
        fail(f"cargo cyclonedx ended with {error.returncode}")
    finally:
        beside.unlink(missing_ok=True)


def wheels():
    """Those that .deps/libtorch was unpacked from, by the script that did it."""
    script = ROOT / "deploy" / "setup" / "libtorch.sh"
    listed = subprocess.run([script, "wheels"], check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        fail(listed.stderr.strip())
    for line in listed.stdout.splitlines():
        found = WHEEL.fullmatch(line)
        if not found:
            fail(f"libtorch.sh wheels says {line!r}: a sha256 and a wheel's name expected")
        digest, file, name, version = found.groups()
        name = name.replace("_", "-")
        purl = f"pkg:pypi/{name}@{version}?file_name={file}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "licenses": [{"license": TORCH if name == "torch" else NVIDIA}],
            "purl": purl,
        }


def models():
    """The bundled ones, each with the sums of its files by its manifest, which the daemon holds it against when it loads."""
    for path in sorted((ROOT / "models").glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        weights = manifest["weights"]
        files = {weights["file"]: weights["sha256"]} | manifest.get("files", {})
        reference = f"model:{manifest['name']}@{manifest['version']}"
        yield {
            "type": "machine-learning-model",
            "bom-ref": reference,
            "name": manifest["name"],
            "version": manifest["version"],
            "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": weights["sha256"]}],
            "components": [
                {
                    "type": "file",
                    "bom-ref": f"{reference}#{file}",
                    "name": f"models/{path.parent.name}/{file}",
                    "hashes": [{"alg": "SHA-256", "content": digest}],
                }
                for file, digest in files.items()
            ],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crates", type=Path, help="a document of cargo-cyclonedx, instead of asking it")
    parser.add_argument("out", type=Path, help="where the whole goes; - for the standard output")
    options = parser.parse_args()

    written = options.crates.read_text() if options.crates else crates()
    # Where it was built says nothing about what it is.
    document = json.loads(written.replace(f"path+file://{ROOT}#", "").replace("?download_url=file://.", ""))
    root = document["metadata"]["component"]["bom-ref"]
    more = [*wheels(), *models()]
    document["components"] += more
    references = [component["bom-ref"] for component in more]
    next(entry for entry in document["dependencies"] if entry["ref"] == root)["dependsOn"] += references
    document["dependencies"] += [{"ref": reference} for reference in references]

    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if str(options.out) == "-":
        sys.stdout.write(text)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(f"sbom: {len(document['components'])} components in {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
