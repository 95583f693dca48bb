// An owning, zero-filled, cache-line aligned block of floats.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace fsrcnn {

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size) : size_(size) {
    if (size == 0) return;
    data_ = static_cast<float*>(::operator new(size * sizeof(float), std::align_val_t{kAlignment}));
    clear();
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_) ::operator delete(data_, std::align_val_t{kAlignment});
  }

  float* data() { return data_; }
  const float* data() const { return data_; }
  std::size_t size() const { return size_; }
  void clear() {
    if (data_) std::memset(data_, 0, size_ * sizeof(float));
  }

 private:
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fsrcnn
