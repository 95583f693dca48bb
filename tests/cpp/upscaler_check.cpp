// Checks what a plan and Upscaler promise: numbers, for any graph of convolutions; neither strips, threads, other
// scales nor what ran before change a bit; any number of threads may call it at once; it works in a forked child and
// where threads and memory are refused; in a steady state it allocates nothing.
//
//   upscaler_check [--list] [--isa NAME] [--no-fork] [--every N]
//
// --no-fork: without what needs forked children, for emulators that have none; on Windows it is always so.
// --every N: of random graphs, of ways to cut a picture into strips and bands, and of faults, one in N, for slow
// machines.
// Exit status: 0 all is so, 1 it is not, 77 this processor cannot run NAME. Built with ThreadSanitizer it also shows
// that the calls do not race.
#include "upscaler_check.h"

#include <cstdlib>
#include <optional>

namespace fsrcnn {
namespace {

int run_checks(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const KernelSet& set : available_sets()) std::printf("%s\n", set.isa);
    return 0;
  }
  std::string isa;
  bool forks = kForks;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--no-fork") {
      forks = false;
    } else if (std::string(argv[i]) == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else if (std::string(argv[i]) == "--every" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
      g_every = static_cast<unsigned>(std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: upscaler_check [--list] [--isa NAME] [--no-fork] [--every N]\n");
      return 2;
    }
  }
  tell_trim("random graphs, of the ways to cut pictures into strips and bands, and of the faults");
  check_plans();
  check_arena();
  std::optional<KernelSet> last;
  for (const KernelSet& set : available_sets()) {
    if (!isa.empty() && isa != set.isa) continue;
    last = set;
    check_fixed_bits(*set.int16);
    check_allocations(*set.int16);
    const KernelTable* const table = set.float32;
    if (std::string(set.isa) != table->isa) continue;  // it has been checked
    check_numbers(*table);
    check_arguments(*table);
    check_graphs(*table);
    check_bits(*table);
    check_resized_bits(*table);
    check_parts_bits(*table);
    check_resized_against_run(*table);
    check_bicubic(*table);
    check_concurrent_calls(*table);
    if (forks) check_fork(*table);
    if (forks) check_refused_threads(*table);
    check_allocations(*table);
  }
  if (!last) {
    std::printf("%-9s  skipped: not available on this processor\n", isa.c_str());
    return 77;
  }
  // What may be refused is the same for all.
  check_faults(*last->float32);
  check_faults(*last->int16);
  if (forks) check_refused_workers(*last->float32);
  return g_failures ? 1 : 0;
}

}  // namespace
}  // namespace fsrcnn

int main(int argc, char** argv) { return fsrcnn::run_checks(argc, argv); }