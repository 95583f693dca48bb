// Which kernel tables this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace fsrcnn {

/// The kernels of an instruction set.
struct KernelSet {
  const char* isa;
  const KernelTable* float32;
  const KernelTable* int16;

  const KernelTable& of(Precision precision) const { return precision == Precision::int16 ? *int16 : *float32; }
};

/// The sets that this processor and its operating system support, slowest first; the last is the one to use.
std::vector<KernelSet> available_sets();

/// Their tables of a precision, each once.
std::vector<const KernelTable*> available_tables(Precision precision = Precision::float32);

/// The table of the set named `isa`. Throws std::invalid_argument, listing what there is, if it cannot run here.
const KernelTable& table_by_name(const std::string& isa, Precision precision = Precision::float32);

}  // namespace fsrcnn
