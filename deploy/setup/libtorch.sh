#!/usr/bin/env bash
# Brings libtorch 2.4.0 (the version that rust-bert 0.23 is built on) to .deps/libtorch from the wheels that PyPI serves, checksums pinned.
# Keeps only what a CPU build needs. Idempotent: a second run ends at once.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=2.4.0
target=.deps/libtorch
stamp="$target/complete-$version"
say() { printf 'libtorch: %s\n' "$*" >&2; }

[ -f "$stamp" ] && exit 0

case "$(uname -m)" in
x86_64)
    platforms="manylinux1_x86_64"
    sums="e743adadd8c8152bb8373543964551a7cb7cc20ba898dc8f9c0cdbe47c283de0  torch-2.4.0-cp311-cp311-manylinux1_x86_64.whl
6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40  nvidia_cuda_runtime_cu12-12.1.105-py3-none-manylinux1_x86_64.whl
e54fde3983165c624cb79254ae9818a456eb6e87a7fd4d56a2352c24ee542d7e  nvidia_cuda_cupti_cu12-12.1.105-py3-none-manylinux1_x86_64.whl"
    wheels="torch==$version nvidia-cuda-runtime-cu12==12.1.105 nvidia-cuda-cupti-cu12==12.1.105"
    ;;
aarch64)
    platforms="manylinux2014_aarch64"
    wheels="torch==$version"
    sums="7334325c0292cbd5c2eac085f449bf57d3690932eac37027e193ba775703c9e6  torch-2.4.0-cp311-cp311-manylinux2014_aarch64.whl"
    ;;
*)
    say "no libtorch wheel for $(uname -m): build on x86_64 or aarch64"
    exit 1
    ;;
esac

python3 -m pip --version >/dev/null 2>&1 || {
    say "python 3 with pip is needed: install python3-pip"
    exit 1
}

work=.deps/libtorch.work
rm -rf "$work"
mkdir -p "$work/wheels" "$work/tree"
trap 'rm -rf "$work"' EXIT

say "downloading the wheels (about 800 MB on x86_64, 90 MB on aarch64; done once)"
# shellcheck disable=SC2086 # both are lists of words
python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --implementation cp \
    $(printf -- '--platform %s ' $platforms) --dest "$work/wheels" $wheels >&2

say "checking the sums"
(cd "$work/wheels" && printf '%s\n' "$sums" | sha256sum --check --quiet) || {
    say "a wheel's sha256 is not the pinned one: nothing was installed"
    exit 1
}

say "unpacking what a CPU build needs"
python3 - "$work" <<'PYTHON'
import pathlib, re, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
wanted = [
    (re.compile(r"^torch/(include/.*|share/.*|lib/(?:libtorch_cpu|libc10|libtorch)\.so|lib/libgomp-[^/]*)$"), lambda m: m.group(1)),
    (re.compile(r"^torch\.libs/([^/]+)$"), lambda m: "lib/" + m.group(1)),
    (re.compile(r"^nvidia/[^/]+/lib/(libcudart\.so\.12|libcupti\.so\.12)$"), lambda m: "lib/" + m.group(1)),
]
for wheel in sorted((work / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for pattern, place in wanted:
                found = pattern.match(name)
                if found and not name.endswith("/"):
                    path = work / "tree" / place(found)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as source, path.open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
PYTHON

if [ "$(uname -m)" = x86_64 ]; then
    # The wheel's libtorch.so needs the CUDA libraries; an empty one linked to the CPU library stands in for it.
    rm -f "$work/tree/lib/libtorch.so"
    gcc -shared -o "$work/tree/lib/libtorch.so" -Wl,--no-as-needed -L"$work/tree/lib" -l:libtorch_cpu.so \
        -Wl,--allow-shlib-undefined -Wl,-soname,libtorch.so -x c /dev/null
fi
printf '%s\n' "$version" >"$work/tree/build-version"
: >"$work/tree/complete-$version"
rm -rf "$target"
mv "$work/tree" "$target"
say "ready in $target ($(du -sh "$target" | cut -f1))"
