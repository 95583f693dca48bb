// A few threads that compute one strip together: its leader hands out pieces of work and takes the same itself.
#pragma once

#include <atomic>
#include <cstdint>

namespace fsrcnn {

/// Whoever owns it leads: `run` is for that thread alone, and threads that have nothing better to do `help`. Helpers
/// may come late, or never.
class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// Begins anew, of at most so many members, the leader included. Nobody helps yet.
  void muster(int most);
  int most() const { return most_; }

  /// Calls `work(piece, member)` for every piece below `pieces`, and returns when all calls have returned. `member` is
  /// below most(), and no two calls at a time have the same. `work` must not throw.
  template <typename Work>
  void run(int pieces, const Work& work) {
    if (most_ == 1 || pieces == 1) {
      for (int piece = 0; piece < pieces; ++piece) work(piece, kLeader);
      return;
    }
    call_ = [](const void* w, int piece, int member) { (*static_cast<const Work*>(w))(piece, member); };
    work_ = &work;
    run_posted(pieces);
  }

  /// Takes part until the leader dismisses the team. Where all places are taken it returns at once.
  void help();

  /// Sends all helpers home, those to come as well.
  void dismiss();

 private:
  static constexpr int kLeader = 0;

  void run_posted(int pieces);
  bool take(std::uint64_t& ticket, int member);

  int most_ = 1;
  std::atomic<int> members_{1};
  void (*call_)(const void*, int, int) = nullptr;  // of the work in hand
  const void* work_ = nullptr;
  // The number of the work, how many pieces it has, and the next of them, in one word. Whoever draws a piece keeps the
  // leader from going on to other work until that piece is done.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<int> left_{0};  // pieces that are not done
};

}  // namespace fsrcnn
