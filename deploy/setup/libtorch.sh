#!/usr/bin/env bash
# Brings libtorch 2.4.0 (the version that rust-bert 0.23 is built on) to .deps/libtorch from the wheels that PyPI serves, checksums pinned.
# CUDA=1 brings the build for NVIDIA's GPUs with the libraries of CUDA 12.1 (x86_64, driver 525 or later); CUDA=0 brings the one for
# processors alone; without the variable what is there stays, and else the latter comes. Idempotent: a second run ends at once.
# `libtorch.sh wheels` brings nothing: it lists the sums and names of the wheels that what is there came from.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=2.4.0
target=.deps/libtorch
stamp="$target/complete-$version"
say() { printf 'libtorch: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

case "${CUDA:-}" in
1) wanted=cuda ;;
0) wanted=cpu ;;
"") wanted=any ;;
*) fail "CUDA=$CUDA means nothing: 1 for the build with CUDA, 0 for the one without" ;;
esac
present=
if [ -f "$stamp" ]; then
    present=cpu
    [ ! -f "$target/lib/libtorch_cuda.so" ] || present=cuda
fi
case "${1:-}" in
"") if [ -n "$present" ] && { [ "$wanted" = any ] || [ "$wanted" = "$present" ]; }; then exit 0; fi ;;
wheels)
    [ -n "$present" ] || fail "it is not in $target: make setup"
    wanted=$present
    ;;
*) fail "$1 means nothing: wheels lists what libtorch came from, without it libtorch is brought" ;;
esac

# Sum and file name of each wheel; names and versions are read from it.
torch="e743adadd8c8152bb8373543964551a7cb7cc20ba898dc8f9c0cdbe47c283de0  torch-2.4.0-cp311-cp311-manylinux1_x86_64.whl"
# libtorch_cpu.so of this wheel is linked to these two, GPU or not.
always="6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40  nvidia_cuda_runtime_cu12-12.1.105-py3-none-manylinux1_x86_64.whl
e54fde3983165c624cb79254ae9818a456eb6e87a7fd4d56a2352c24ee542d7e  nvidia_cuda_cupti_cu12-12.1.105-py3-none-manylinux1_x86_64.whl"
cuda="ee53ccca76a6fc08fb9701aa95b6ceb242cdaab118c3bb152af4e579af792728  nvidia_cublas_cu12-12.1.3.1-py3-none-manylinux1_x86_64.whl
339b385f50c309763ca65456ec75e17bbefcbbf2893f462cb8b90584cd27a1c2  nvidia_cuda_nvrtc_cu12-12.1.105-py3-none-manylinux1_x86_64.whl
165764f44ef8c61fcdfdfdbe769d687e06374059fbb388b6c89ecb0e28793a6f  nvidia_cudnn_cu12-9.1.0.70-py3-none-manylinux2014_x86_64.whl
794e3948a1aa71fd817c3775866943936774d1c14e7628c74f6f7417224cdf56  nvidia_cufft_cu12-11.0.2.54-py3-none-manylinux1_x86_64.whl
9d264c5036dde4e64f1de8c50ae753237c12e0b1348738169cd0f8a536c0e1e0  nvidia_curand_cu12-10.3.2.106-py3-none-manylinux1_x86_64.whl
8a7ec542f0412294b15072fa7dab71d31334014a69f953004ea7a118206fe0dd  nvidia_cusolver_cu12-11.4.5.107-py3-none-manylinux1_x86_64.whl
f3b50f42cf363f86ab21f720998517a659a48131e8d538dc02f8768237bd884c  nvidia_cusparse_cu12-12.1.0.106-py3-none-manylinux1_x86_64.whl
057f6bf9685f75215d0c53bf3ac4a10b3e6578351de307abad9e18a99182af56  nvidia_nccl_cu12-2.20.5-py3-none-manylinux2014_x86_64.whl
015fed699b390ce3b8a8578d822d501a4194d0a341d3859554067c1ab291cb85  nvidia_nvjitlink_cu12-12.1.105-py3-none-manylinux1_x86_64.whl
dc21cf308ca5691e7c04d962e213f8a4aa9bbfa23d95412f452254c2caeb09e5  nvidia_nvtx_cu12-12.1.105-py3-none-manylinux1_x86_64.whl"

machine=$(uname -m)
case "$machine $wanted" in
"x86_64 cuda")
    platforms="manylinux1_x86_64 manylinux2014_x86_64"
    sums="$torch
$always
$cuda"
    size="about 2.6 GB"
    ;;
"x86_64 "*)
    platforms="manylinux1_x86_64"
    sums="$torch
$always"
    size="about 800 MB"
    ;;
"aarch64 cuda") fail "CUDA=1: PyPI has no libtorch $version with CUDA for aarch64, it is built on x86_64 only" ;;
"aarch64 "*)
    platforms="manylinux2014_aarch64"
    sums="7334325c0292cbd5c2eac085f449bf57d3690932eac37027e193ba775703c9e6  torch-2.4.0-cp311-cp311-manylinux2014_aarch64.whl"
    size="about 90 MB"
    ;;
*) fail "no libtorch wheel for $machine: build on x86_64 or aarch64" ;;
esac
if [ "${1:-}" = wheels ]; then
    printf '%s\n' "$sums"
    exit 0
fi
wheels=$(printf '%s\n' "$sums" | sed -E 's/^[0-9a-f]+  ([^-]+)-([^-]+)-.*/\1==\2/')

python3 -m pip --version >/dev/null 2>&1 || fail "python 3 with pip is needed: install python3-pip"

work=.deps/libtorch.work
rm -rf "$work"
mkdir -p "$work/wheels" "$work/tree"
trap 'rm -rf "$work"' EXIT

say "downloading the wheels ($size; done once)"
# shellcheck disable=SC2046,SC2086 # both are lists of words
python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 --implementation cp \
    $(printf -- '--platform %s ' $platforms) --dest "$work/wheels" $wheels >&2

say "checking the sums"
(cd "$work/wheels" && printf '%s\n' "$sums" | sha256sum --check --quiet) || fail "a wheel's sha256 is not the pinned one: nothing was installed"

say "unpacking what the build needs"
python3 - "$work" "$wanted" <<'PYTHON'
import pathlib, re, shutil, sys, zipfile

work, wanted = pathlib.Path(sys.argv[1]), sys.argv[2]
if wanted == "cuda":
    libraries, nvidia = r"lib/(?!libtorch_python|libshm)[^/]+\.so[^/]*", r"lib[^/]+\.so[^/]*"
else:
    libraries, nvidia = r"lib/(?:libtorch_cpu|libc10|libtorch)\.so|lib/libgomp-[^/]*", r"libcudart\.so\.12|libcupti\.so\.12"
places = [
    (re.compile(rf"^torch/(include/.*|share/.*|{libraries})$"), ""),
    (re.compile(r"^torch\.libs/([^/]+)$"), "lib/"),
    (re.compile(rf"^nvidia/[^/]+/lib/({nvidia})$"), "lib/"),
]
for wheel in sorted((work / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for pattern, directory in places:
                found = pattern.match(name)
                if found and not name.endswith("/"):
                    path = work / "tree" / (directory + found.group(1))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as source, path.open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
    wheel.unlink()
PYTHON

if [ "$machine" = x86_64 ] && [ "$wanted" != cuda ]; then
    # The wheel's libtorch.so needs the CUDA libraries; an empty one linked to the CPU library stands in for it.
    rm -f "$work/tree/lib/libtorch.so"
    gcc -shared -o "$work/tree/lib/libtorch.so" -Wl,--no-as-needed -L"$work/tree/lib" -l:libtorch_cpu.so \
        -Wl,--allow-shlib-undefined -Wl,-soname,libtorch.so -x c /dev/null
fi
printf '%s\n' "$version" >"$work/tree/build-version"
: >"$work/tree/complete-$version"
again=no
[ ! -d "$target" ] || again=yes
rm -rf "$target"
mv "$work/tree" "$target"
# The bindings ask once, when they are built, whether there is CUDA.
if [ "$again" = yes ] && [ -d target ]; then
    for profile in dev release; do cargo clean --quiet --package torch-sys --profile "$profile" >&2; done
fi
say "ready in $target ($(du -sh "$target" | cut -f1))"
