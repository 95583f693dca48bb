// Which kernel tables this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace fsrcnn {

/// The tables this processor and its operating system support, slowest first; the last is the one to use.
std::vector<const KernelTable*> available_tables();

/// The table named `isa`. Throws std::invalid_argument, listing what there is, if it cannot run here.
const KernelTable& table_by_name(const std::string& isa);

}  // namespace fsrcnn
