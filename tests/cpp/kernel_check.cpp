// Proves every kernel of every instruction set against its scalar twin in the reference table, and times it with the
// same call. The reference table itself is proven against the definitions, summed in double.
//
//   kernel_check [--list] [--isa NAME] [--bench] [--bench-calls]
//
// One line per kernel tells the largest error in units of the tolerance (checks.h says how that is bounded).
//
// Exit status: 0 all agree, 1 a kernel is wrong, 2 usage, 77 this processor cannot run NAME.
#include "kernel_check.h"

#include <signal.h>

#include <cstdlib>
#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

#include "checks.h"

namespace fsrcnn {
namespace {

void report_fault(int signal_number) {
  // Only async-signal-safe calls: the kernel died in the middle of anything.
  const auto print = [](const char* text) { static_cast<void>(!write(1, text, static_cast<unsigned>(std::strlen(text)))); };
  print(signal_number == SIGILL ? "ILLEGAL INSTRUCTION in " : "FAULT (touched what it may not) in ");
  print(g_case);
  print("\n");
  std::_Exit(1);
}

bool check_table(const KernelTable& table) {
  bool ok = check_conv2d(table);
  if (table.conv2d_narrow) ok &= check_conv2d_narrow(table);
  if (table.winograd3) ok &= check_winograd(table, 3);
  if (table.winograd5) ok &= check_winograd(table, 5);
  ok &= check_groups(table);
  ok &= check_deconv2d(table);
  ok &= check_gradient(table);
  ok &= check_pixel_io(table);
  ok &= check_finish(table);
  return ok;
}

/// Its pixel kernels are those of floats but for the contraction; that they round alike is shown by whole pictures.
bool check_fixed_table(const KernelTable& table) {
  bool ok = check_fixed_conv2d(table);
  ok &= check_to_cells(table);
  return ok;
}

int usage() {
  std::fprintf(stderr, "usage: kernel_check [--list] [--isa NAME] [--bench] [--bench-calls]\n");
  return 2;
}

int run(int argc, char** argv) {
  std::string isa;
  bool timing_kernels = false, timing_calls = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--list") {
      for (const KernelSet& set : available_sets()) std::printf("%s\n", set.isa);
      return 0;
    }
    if (argument == "--bench") {
      timing_kernels = true;
    } else if (argument == "--bench-calls") {
      timing_calls = true;
    } else if (argument == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else {
      return usage();
    }
  }
  std::vector<KernelSet> sets = available_sets();
  if (!isa.empty()) {
    std::erase_if(sets, [&](const KernelSet& set) { return isa != set.isa; });
    if (sets.empty()) {
      std::printf("%-9s  skipped: not available on this processor\n", isa.c_str());
      return 77;
    }
  }
  for (const int signal_number : {SIGSEGV, SIGILL, SIGFPE}) signal(signal_number, report_fault);
#if defined(SIGBUS)
  signal(SIGBUS, report_fault);
#endif
  const bool timing = timing_kernels || timing_calls;
  bool ok = timing || check_proof();
  for (const KernelSet& set : sets) {
    // What has kernels of its own for fixed point alone shares those of floats with the set before it.
    const bool own = std::strcmp(set.isa, set.float32->isa) == 0;
    if (timing) {
      if (own && timing_kernels) bench(*set.float32);
      if (own && timing_calls) bench_calls(*set.float32);
      if (timing_calls) bench_calls(*set.int16);
      continue;
    }
    g_random.seed(1);
    if (own) ok &= check_table(*set.float32);
    ok &= check_fixed_table(*set.int16);
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace fsrcnn

int main(int argc, char** argv) { return fsrcnn::run(argc, argv); }
