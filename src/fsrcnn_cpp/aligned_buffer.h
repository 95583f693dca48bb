// An owning, zero-filled, cache-line aligned block of floats.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

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
    if (is_mapped()) {
      data_ = static_cast<float*>(map(size * sizeof(float)));
    } else {
      data_ = static_cast<float*>(::operator new (size * sizeof(float), std::align_val_t{kAlignment}));
      fill(0);
    }
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
    if (is_mapped()) {
      unmap(data_, size_ * sizeof(float));
    } else {
      ::operator delete (data_, std::align_val_t{kAlignment});
    }
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
  /// Whether it comes straight from the system, which gives zeros and takes all of it back. malloc keeps what threads
  /// have freed, each on its own. AddressSanitizer watches the ends of what operator new gives.
  bool is_mapped() const { return kMaps && !kAddressSanitizer && size_ * sizeof(float) >= kMappedBytes; }
  static constexpr std::size_t kMappedBytes = 256 * 1024;

#if defined(__linux__)
  static constexpr bool kMaps = true;
  static void* map(std::size_t bytes) {
    void* const block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw std::bad_alloc();
    return block;
  }
  static void unmap(void* block, std::size_t bytes) { munmap(block, bytes); }
#else
  static constexpr bool kMaps = false;
  static void* map(std::size_t) { return nullptr; }
  static void unmap(void*, std::size_t) {}
#endif

  float* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fsrcnn
