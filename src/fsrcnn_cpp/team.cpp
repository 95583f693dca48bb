#include "team.h"

#include <thread>

#include "spin.h"

namespace fsrcnn {
namespace {

// A ticket: 32 bits for the number of the work, 16 for its pieces, 16 for the next one.
constexpr int kPieceBits = 16;
constexpr std::uint64_t kPieceMask = (std::uint64_t{1} << kPieceBits) - 1;
constexpr std::uint64_t kDismissed = ~std::uint64_t{0};

constexpr int next_piece(std::uint64_t ticket) { return static_cast<int>(ticket & kPieceMask); }
constexpr int piece_count(std::uint64_t ticket) { return static_cast<int>(ticket >> kPieceBits & kPieceMask); }
constexpr bool is_drawn(std::uint64_t ticket) { return next_piece(ticket) >= piece_count(ticket); }
constexpr std::uint64_t work_number(std::uint64_t ticket) { return ticket >> 2 * kPieceBits; }

void wait(const std::atomic<std::uint64_t>& value, std::uint64_t old) {
#if defined(__MINGW32__)
  // GCC's library loses a notification between the look at the value and the sleep, where the system has no futex.
  while (value.load(std::memory_order_relaxed) == old) std::this_thread::sleep_for(kSpin);
#else
  value.wait(old);
#endif
}

}  // namespace

/// Draws a piece and does it, or says that there is none. `ticket` is the newest that was seen.
bool Team::take(std::uint64_t& ticket, int member) {
  while (ticket != kDismissed && !is_drawn(ticket)) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acquire)) continue;
    call_(work_, next_piece(ticket), member);
    left_.fetch_sub(1, std::memory_order_release);
    return true;
  }
  return false;
}

void Team::muster(int most) {
  most_ = most;
  members_.store(1, std::memory_order_relaxed);
  ticket_.store(0, std::memory_order_relaxed);
}

void Team::run_posted(int pieces) {
  left_.store(pieces, std::memory_order_relaxed);
  std::uint64_t ticket = ticket_.load(std::memory_order_relaxed);
  ticket = (work_number(ticket) + 1) << 2 * kPieceBits | static_cast<std::uint64_t>(pieces) << kPieceBits;
  ticket_.store(ticket, std::memory_order_release);
  ticket_.notify_all();
  while (take(ticket, kLeader)) ticket = ticket_.load(std::memory_order_relaxed);
  // A helper has at most one piece to finish. That takes as long as one of the leader's, unless it is preempted.
  const auto done = [&] { return left_.load(std::memory_order_acquire) == 0; };
  while (!done()) {
    spin_until(done);
    if (!done()) std::this_thread::yield();
  }
}

void Team::help() {
  const int member = members_.fetch_add(1, std::memory_order_relaxed);
  if (member >= most_) return;
  for (std::uint64_t ticket = ticket_.load(std::memory_order_acquire); ticket != kDismissed;
       ticket = ticket_.load(std::memory_order_acquire)) {
    if (take(ticket, member)) continue;
    if (ticket == kDismissed) return;
    const auto changed = [&] { return ticket_.load(std::memory_order_relaxed) != ticket; };
    spin_until(changed);
    if (!changed()) wait(ticket_, ticket);
  }
}

void Team::dismiss() {
  ticket_.store(kDismissed, std::memory_order_release);
  ticket_.notify_all();
}

}  // namespace fsrcnn
