// An owning, zero-filled, cache-line aligned block of floats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define FSRCNN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FSRCNN_ASAN 1
#endif
#endif
#if defined(FSRCNN_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace fsrcnn {

// Parts of a block can be forbidden to everybody for as long as they are nobody's, where AddressSanitizer watches.
#if defined(FSRCNN_ASAN)
inline constexpr bool kAddressSanitizer = true;
inline void poison(const float* data, std::size_t size) { __asan_poison_memory_region(data, size * sizeof(float)); }
inline void unpoison(const float* data, std::size_t size) { __asan_unpoison_memory_region(data, size * sizeof(float)); }
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(const float*, std::size_t) {}
inline void unpoison(const float*, std::size_t) {}
#endif

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size) : size_(size) {
    if (size == 0) return;
    data_ = static_cast<float*>(::operator new (size * sizeof(float), std::align_val_t{kAlignment}));
    fill(0);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() {
    if (!data_) return;
    unpoison(data_, size_);
    ::operator delete (data_, std::align_val_t{kAlignment});
  }

  float* data() { return data_; }
  const float* data() const { return data_; }
  std::size_t size() const { return size_; }
  /// Writes to all of it, which is nobody's from then on.
  void fill(float value) {
    if (!data_) return;
    unpoison(data_, size_);
    std::fill_n(data_, size_, value);
  }

 private:
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fsrcnn
