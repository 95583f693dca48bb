// The model file, read from memory: safetensors with float32 tensors, and the network in its metadata, as
// docs/model-file.md has it. What python/fsrcnn_rt/model/file.py refuses is refused here too.
#pragma once

#include <cstddef>
#include <string>

#include "model.h"

namespace fsrcnn {

struct NamedModel {
  std::string name;  // UTF-8
  Model model;
};

/// Reads a model file of version 1 or 2. Throws std::invalid_argument, which names the tensor or the node and the
/// value, for anything else; a file within the limits takes no more memory than a few times its size.
NamedModel read_model(const void* data, std::size_t size);

}  // namespace fsrcnn
