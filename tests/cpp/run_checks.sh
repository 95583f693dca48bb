#!/bin/sh
# Builds the core and its checks with every compiler and sanitizer there is, and runs them on every processor that can
# be had or emulated. A step whose tools are missing is skipped, and says so.
#
# The step gcc carries out every case on every instruction set of this machine, unless EVERY says else. What is emulated
# or watched by a sanitizer is 10 to 40 times as slow: there, upscaler_check carries out one in N of its many cases of a
# kind (--every) and says so; conformance_check takes every case, but one in N of the ways to share it out. kernel_check
# is quick, and complete everywhere.
#
#   tests/cpp/run_checks.sh [STEP...]      steps: gcc clang symbols aarch64 old-cpu windows asan tsan fuzz;
#                                          macos library python web
#
# BUILD (build/checks): where to build. JOBS (all CPUs): how many compilers at a time. EVERY (1): the step gcc carries
# out one in so many of the cases of upscaler_check and conformance_check. SECONDS_TO_FUZZ: how long to look for new
# cases; without it the step fuzz tries the same 20,000 each time.
# The steps behind the semicolon are for who asks. macos: compiled and linked by Zig. The others take an installed
# fsrcnn_rt and what its tests need. library: the C API, installed. python: the Python tests in TESTS (those that reach
# far into the core) against a core that AddressSanitizer watches; it takes pybind11. web: makes the page, and tries it in
# Node and in Chromium.
# Debian: apt-get install cmake ninja-build g++ clang-14 g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user pkg-config
# emscripten chromium chromium-driver nodejs lld-14 g++-mingw-w64-x86-64-posix wine64 llvm-14; zig from PyPI: ziglang
set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$source/build/checks}
jobs=${JOBS:-$(nproc)}
steps=${*:-gcc clang symbols aarch64 old-cpu windows asan tsan fuzz}
failed=

say() { printf '== %s\n' "$*"; }

# have STEP TOOL...: whether all tools are there.
have() {
  step=$1
  shift
  for tool; do
    command -v "$tool" >/dev/null || { say "$step: SKIPPED, there is no $tool"; return 1; }
  done
}

# build NAME PRESET [OPTION...]: configures and compiles.
build() {
  name=$1 preset=$2
  shift 2
  cmake -S "$source" --preset "$preset" -B "$build/$name" "$@" >"$build/$name.log" 2>&1 &&
    ninja -C "$build/$name" -j "$jobs" >>"$build/$name.log" 2>&1 || { cat "$build/$name.log"; return 1; }
}

# newest NAME: the last instruction set that a build can run here.
newest() { "$build/$1/upscaler_check" --list | tail -n 1; }

build_gcc() {
  build gcc dev -DCMAKE_CXX_COMPILER=g++ -DFSRCNN_BUILD_LIBRARY=ON -DCMAKE_INSTALL_PREFIX="$build/prefix" \
    -DCMAKE_INSTALL_LIBDIR=lib
}

check_gcc() {
  have gcc g++ || return 0
  build_gcc && "$build/gcc/kernel_check" &&
    "$build/gcc/upscaler_check" --every "${EVERY:-1}" && "$build/gcc/conformance_check" --every "${EVERY:-1}"
}

check_clang() {
  have clang clang++-14 || return 0
  build clang dev -DCMAKE_CXX_COMPILER=clang++-14 && "$build/clang/kernel_check" &&
    "$build/clang/upscaler_check" --every 12 && "$build/clang/conformance_check" --every 30
}

# Objects compiled with ISA flags must not give the linker anything that another object may also have: it could choose
# the copy that this processor cannot run. They must also run nothing before dispatch.
check_objects() {
  nm=$1
  found=0
  for object in $(find "$2" -path '*kernels*' '(' -name 'isa_*.o' -o -name 'fixed_*.o' -o -name '*_*.cpp.obj' ')'); do
    found=$((found + 1))
    name=$(basename "${object%.cpp.o*}")
    exported=$($nm -g --defined-only "$object" | awk '{print $3}')
    case $exported in
      *kBaseline*Table* | *kAvx*Table* | *kNeon*Table*) ;;
      *) echo "$name exports no table"; return 1 ;;
    esac
    [ "$(echo "$exported" | wc -l)" = 1 ] || { echo "$name exports more than its table:"; echo "$exported"; return 1; }
    if $nm "$object" | grep -E ' [WwVvu] '; then echo "$name has weak symbols"; return 1; fi
    # Local symbols of static initialisers, and sections: nm shows section symbols with -a.
    if $nm -a "$object" | grep -E '_GLOBAL__sub_I|\.init_array|\.ctors'; then
      echo "$name has static initialisers"
      return 1
    fi
    # What it takes from elsewhere: nothing but what the compiler itself asks for.
    if $nm -u "$object" | awk '{print $NF}' | grep -vE '^(_?memcpy|_?memset|_?memmove|_GLOBAL_OFFSET_TABLE_)$'; then
      echo "$name uses other code"
      return 1
    fi
    echo "$name: one exported symbol, nothing weak, nothing that runs at start"
  done
  [ $found -gt 0 ]
}

check_symbols() {
  have symbols nm || return 0
  found_build=
  for name in gcc clang; do
    [ -e "$build/$name/kernel_check" ] || continue
    found_build=yes
    say "symbols: $name"
    check_objects nm "$build/$name" || return 1
  done
  [ -n "$found_build" ] || say "symbols: SKIPPED, neither gcc nor clang was built"
}

# libfsrcnn as who embeds it has it: installed, found by CMake and by pkg-config, and its example run. A case of the
# conformance list says what that makes of a picture; then the Python tests of the C API.
check_library() {
  have library g++ cc pkg-config python3 || return 0
  python3 -c 'import fsrcnn_rt, pytest' || { say "library: SKIPPED, there is no fsrcnn_rt or pytest"; return 0; }
  prefix=$build/prefix
  rm -rf "$prefix" "$build/example"
  build_gcc && cmake --install "$build/gcc" >/dev/null || return 1
  cmake -S "$source/examples" -B "$build/example" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null &&
    cmake --build "$build/example" >/dev/null || return 1
  PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  export PKG_CONFIG_PATH
  # shellcheck disable=SC2046  # several options
  cc -std=c99 -Wall -Wextra -pedantic -Werror "$source/examples/upscale.c" -o "$build/example/upscale_pc" \
    $(pkg-config --cflags --libs fsrcnn) -Wl,-rpath,"$prefix/lib" || return 1
  (cd "$source/tests" && python3 example.py picture "$build/example/small.ppm") || return 1
  for program in upscale upscale_pc; do
    "$build/example/$program" "$(pkg-config --variable=weights fsrcnn)/fsrcnn.safetensors" "$build/example/small.ppm" \
      "$build/example/large.ppm" && (cd "$source/tests" && python3 example.py check "$build/example/large.ppm") || return 1
  done
  (cd "$source" && FSRCNN_RT_LIBRARY=$prefix/lib/libfsrcnn.so python3 -m pytest -q -p no:cacheprovider tests/library)
}

check_web() {
  have web emcc node python3 || return 0
  JOBS=$jobs sh "$source/web/build.sh" "$build/web" >"$build/web.log" 2>&1 || { cat "$build/web.log"; return 1; }
  (cd "$source" && FSRCNN_RT_PAGE=$build/web python3 -m pytest -q -p no:cacheprovider tests/web)
}

check_aarch64() {
  have aarch64 aarch64-linux-gnu-g++ qemu-aarch64 || return 0
  build aarch64 aarch64 && check_objects aarch64-linux-gnu-nm "$build/aarch64" || return 1
  emulate="qemu-aarch64 -L /usr/aarch64-linux-gnu"
  # User-mode emulators do not survive a fork of a process with threads.
  $emulate "$build/aarch64/kernel_check" --isa neon &&
    $emulate "$build/aarch64/upscaler_check" --isa neon --every 60 --no-fork &&
    $emulate "$build/aarch64/conformance_check" --isa neon --every 60
}

# A processor from before AVX must be offered nothing newer, and run all that it is offered.
check_old_cpu() {
  have old-cpu g++ qemu-x86_64 || return 0
  build_gcc || return 1
  emulate="qemu-x86_64 -cpu Nehalem"
  offered=$(echo $($emulate "$build/gcc/kernel_check" --list 2>/dev/null))
  echo "offered: $offered"
  [ "$offered" = "reference baseline" ] || return 1
  for program in kernel_check "upscaler_check --no-fork --every 80" "conformance_check --every 40"; do
    # shellcheck disable=SC2086  # a program and its options
    $emulate "$build/gcc/"$program --isa baseline || return 1
    code=0
    $emulate "$build/gcc/"$program --isa avx2 || code=$?
    [ $code = 77 ] || { echo "$program --isa avx2: exit status $code instead of 77"; return 1; }
  done
}

# only_api NAMES: whether a library shows the C API and nothing else, but for what its system's linker adds.
only_api() {
  [ "$(echo "$1" | grep -c '^_*fsrcnn_')" = 12 ] || { echo "the library shows:"; echo "$1"; return 1; }
  others=$(echo "$1" | grep -vE '^(_*fsrcnn_.*|__mh_dylib_header)$' | grep -vE "${2:-^$}" || true)
  [ -z "$others" ] || { echo "the library shows more than the C API:"; echo "$others"; return 1; }
}

# Windows has no fork, which upscaler_check knows. Clang looks for MinGW's GCC by its bare version, as Debian does not
# call it.
check_windows() {
  wine=/usr/lib/wine/wine64 mingw=x86_64-w64-mingw32
  have windows clang++-14 ld.lld-14 $mingw-g++-posix $wine || return 0
  gcc=$(dirname "$($mingw-g++-posix -print-libgcc-file-name)")
  mkdir -p "$build/mingw/lib/gcc/$mingw"
  ln -sfn "$gcc" "$build/mingw/lib/gcc/$mingw/$($mingw-g++-posix -dumpversion | cut -d- -f1)"
  ln -sfn /usr/$mingw "$build/mingw/$mingw"
  build windows windows -DCMAKE_SYSROOT="$build/mingw" -DFSRCNN_BUILD_LIBRARY=ON &&
    check_objects $mingw-nm "$build/windows" || return 1
  only_api "$($mingw-objdump -p "$build/windows/libfsrcnn.dll" | sed -n '/^\[Ordinal.*Name/,/^$/s/.*\] *//p' |
    grep -v 'Table$')" || return 1
  export WINEPREFIX="$build/wine" WINEDEBUG=-all
  $wine "$build/windows/kernel_check.exe" && $wine "$build/windows/upscaler_check.exe" --every 12 &&
    $wine "$build/windows/conformance_check.exe" --every 30
}

# Compiled and linked, for Apple's processors and Intel's: nothing here runs it. Zig's linker cannot be told which names
# a library shows, and its own operators new and delete are among them.
check_macos() {
  have macos zig llvm-nm-14 llvm-ar-14 || return 0
  for processor in arm64 x86_64; do
    build "macos-$processor" macos -DCMAKE_SYSTEM_PROCESSOR=$processor \
      -DCMAKE_CXX_COMPILER_TARGET="$(echo $processor | sed s/arm64/aarch64/)-macos" || return 1
    check_objects llvm-nm-14 "$build/macos-$processor" || return 1
    only_api "$(llvm-nm-14 -gU --format=just-symbols "$build/macos-$processor/libfsrcnn.dylib")" \
      '^(__Z[nd][awl].*|___dso_handle)$' || return 1
  done
}

check_asan() {
  have asan g++ || return 0
  build asan asan -DCMAKE_CXX_COMPILER=g++ || return 1
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  "$build/asan/kernel_check" && "$build/asan/upscaler_check" --isa "$(newest asan)" --every 60 &&
    "$build/asan/conformance_check" --isa "$(newest asan)" --every 40
}

check_tsan() {
  have tsan g++ || return 0
  # Kernels do not know of threads: one table shows what there is to see.
  build tsan tsan -DCMAKE_CXX_COMPILER=g++ -DFSRCNN_AVX512=OFF || return 1
  "$build/tsan/upscaler_check" --isa "$(newest tsan)" --every 20 &&
    "$build/tsan/conformance_check" --isa "$(newest tsan)" --every 20
}

# Cases that were found before, then others.
check_fuzz() {
  have fuzz clang++-14 || return 0
  build fuzz fuzz || return 1
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  mkdir -p "$build/fuzz/found"
  if [ -n "${SECONDS_TO_FUZZ:-}" ]; then extent=-max_total_time=$SECONDS_TO_FUZZ; else extent="-seed=1 -runs=20000"; fi
  # shellcheck disable=SC2086  # one option or two
  (cd "$build/fuzz" && ./fuzz $extent -max_len=4096 -timeout=120 -rss_limit_mb=4096 -print_final_stats=1 found \
    "$source/tests/cpp/corpus") >"$build/fuzz.log" 2>&1 || { tail -n 60 "$build/fuzz.log"; return 1; }
  grep -E 'INITED|DONE|number_of_executed_units' "$build/fuzz.log"
}

check_python() {
  have python g++ python3 || return 0
  python3 -c 'import pybind11, pytest' || { say "python: SKIPPED, there is no pybind11 or pytest"; return 0; }
  build asan asan -DCMAKE_CXX_COMPILER=g++ -DFSRCNN_BUILD_PYTHON=ON -DPython_EXECUTABLE="$(command -v python3)" \
    -Dpybind11_DIR="$(python3 -m pybind11 --cmakedir)" || return 1
  # An environment in which this core comes before any that is installed, also in processes that the tests start.
  package=$build/asan/package
  rm -rf "$package"
  mkdir "$package"
  cp -R "$source/python/fsrcnn_rt" "$source/weights" "$package"
  mv "$package/weights" "$package/fsrcnn_rt/weights"
  cp "$build"/asan/_core.* "$package/fsrcnn_rt"
  installed=$(python3 -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")')
  python3 -m venv --without-pip "$build/asan/venv"
  python=$build/asan/venv/bin/python
  printf '%s\n' "$package" "$installed" >"$($python -c 'import site; print(site.getsitepackages()[0])')/asan.pth"
  (
    cd "$source"
    export LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    $python -c 'from fsrcnn_rt import _core; assert "/asan/package/" in _core.__file__, _core.__file__' || exit 1
    # shellcheck disable=SC2086  # several tests
    $python -m pytest -q -p no:cacheprovider ${TESTS:-tests/core/test_network.py tests/engine}
  )
}

have everything cmake ninja || exit 1
mkdir -p "$build"
for step in $steps; do
  say "$step"
  start=$(date +%s)
  if "check_$(echo "$step" | tr - _)"; then
    say "$step: done in $(($(date +%s) - start)) s"
  else
    say "$step: FAILED after $(($(date +%s) - start)) s"
    failed="$failed $step"
  fi
done
[ -z "$failed" ] || { say "failed:$failed"; exit 1; }
