// Proves every kernel of every instruction set against its scalar twin in the reference table, and times it with the
// same call. The reference table itself is proven against the definitions, summed in double.
//
//   kernel_check [--list] [--isa NAME] [--bench]
//
// One line per kernel tells the largest error in units of the tolerance (checks.h says how that is bounded).
//
// Exit status: 0 all agree, 1 a kernel is wrong, 2 usage, 77 this processor cannot run NAME.
#include "kernel_check.h"

#include <signal.h>
#include <unistd.h>

#include "checks.h"

namespace fsrcnn {
namespace {

void report_fault(int signal_number) {
  // Only async-signal-safe calls: the kernel died in the middle of anything.
  const auto print = [](const char* text) { static_cast<void>(!write(STDOUT_FILENO, text, std::strlen(text))); };
  print(signal_number == SIGILL ? "ILLEGAL INSTRUCTION in " : "FAULT (touched what it may not) in ");
  print(g_case);
  print("\n");
  _exit(1);
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

int usage() {
  std::fprintf(stderr, "usage: kernel_check [--list] [--isa NAME] [--bench]\n");
  return 2;
}

int run(int argc, char** argv) {
  std::string isa;
  bool timing = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--list") {
      for (const KernelTable* table : available_tables()) std::printf("%s\n", table->isa);
      return 0;
    }
    if (argument == "--bench") {
      timing = true;
    } else if (argument == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else {
      return usage();
    }
  }
  std::vector<const KernelTable*> tables = available_tables();
  if (!isa.empty()) {
    std::erase_if(tables, [&](const KernelTable* table) { return isa != table->isa; });
    if (tables.empty()) {
      std::printf("%-9s  skipped: not available on this processor\n", isa.c_str());
      return 77;
    }
  }
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) signal(signal_number, report_fault);
  bool ok = true;
  for (const KernelTable* table : tables) {
    if (timing) {
      bench(*table);
    } else {
      g_random.seed(1);
      ok &= check_table(*table);
    }
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace fsrcnn

int main(int argc, char** argv) { return fsrcnn::run(argc, argv); }
