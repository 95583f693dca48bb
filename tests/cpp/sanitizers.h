// What watches this build: sanitizers have an allocator, threads and limits of their own.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FSRCNN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FSRCNN_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FSRCNN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FSRCNN_TSAN 1
#endif
#endif

namespace fsrcnn {

#if defined(FSRCNN_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace fsrcnn
