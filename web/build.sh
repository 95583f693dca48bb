#!/bin/sh
# Makes the page: web/build.sh [FOLDER]. FOLDER (build/web) is then complete, to be served by `fsrcnn-rt web FOLDER` or
# by any server of files. It takes Emscripten (Debian: apt-get install emscripten), CMake and Ninja.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$source/build/web}
build=$source/build/wasm

for tool in emcmake cmake ninja; do
  command -v "$tool" >/dev/null || { echo "web/build.sh: there is no $tool" >&2; exit 1; }
done
emcmake cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFSRCNN_BUILD_PYTHON=OFF \
  -DCMAKE_CXX_FLAGS=-fwasm-exceptions >/dev/null
ninja -C "$build" -j "${JOBS:-$(nproc)}" fsrcnn_wasm

mkdir -p "$folder/weights"
cp "$build/fsrcnn.wasm" "$source"/web/*.html "$source"/web/*.css "$source"/web/*.js "$source"/web/*.d.ts "$folder"
for model in fsrcnn fsrcnn-graphics fsrcnn-denoise1 fsrcnn-denoise2 fsrcnn-denoise3 fsrcnn-s fsrcnn-s-graphics; do
  cp "$source/weights/$model.safetensors" "$folder/weights"
done
echo "$folder: $(find "$folder" -type f -exec cat {} + | wc -c) bytes"
