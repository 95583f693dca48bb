// Pictures as tiles on threads: what every driver shares.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common.h"
#include "ring.h"
#include "team.h"
#include "thread_pool.h"

namespace fsrcnn {

/// What is cut into strips of columns and bands of rows.
struct Work {
  Tile part;
  std::ptrdiff_t strip_width;  // the last strip may be narrower
  std::ptrdiff_t row_step;     // bands start at a multiple of so many rows from the first
  std::ptrdiff_t rows;         // that make the work: a band computes a few that its neighbour also computes
  std::ptrdiff_t band_rows;    // of them a tall band has
  int team = 1;                // threads that can compute one tile together
};

class Tiling {
 public:
  Tiling(const Work& work, int threads) : work_(work), strips_(ceil_div(work.part.columns.size(), work.strip_width)) {
    const std::ptrdiff_t most = std::min(ceil_div(rows(), work.row_step), ceil_div(work.rows, kMinRows));
    team_ = std::min(work.team, threads);
    workers_ = std::min<std::ptrdiff_t>(ceil_div(threads, team_), strips_ * most);
    threads_ = std::min<std::ptrdiff_t>(threads, workers_ * team_);
    // Bands are tall unless the picture is small.
    const std::ptrdiff_t of_worker = std::max<std::ptrdiff_t>(1, work.rows / (workers_ * work.band_rows));
    bands_ = workers_ == 1 ? 1 : std::min(most, workers_ * of_worker);
  }

  /// Each of them a thread with a team, which it leads.
  std::size_t workers() const { return static_cast<std::size_t>(workers_); }
  int team() const { return team_; }
  std::ptrdiff_t strips() const { return strips_; }

  Tile tile(std::ptrdiff_t index) const {
    const Range& columns = work_.part.columns;
    const std::ptrdiff_t x0 = columns.begin + index % strips_ * work_.strip_width, band = index / strips_;
    return {{x0, std::min(columns.end, x0 + work_.strip_width)}, start(band), start(band + 1)};
  }

  /// Calls `work(worker, tile, team)` for every tile; no two at a time for the same worker. `work` must not throw.
  /// `teams`: one a worker, at least.
  template <typename Work>
  void run(std::deque<Team>& teams, const Work& work) const {
    for (std::size_t i = 0; i < workers(); ++i) teams[i].muster(team_);
    std::atomic<std::size_t> next_thread{0};
    std::atomic<std::ptrdiff_t> next_tile{0};
    ThreadPool::instance().run(static_cast<int>(threads_), [&] {
      const std::size_t thread = next_thread++;
      Team& team = teams[thread % workers()];
      if (thread >= workers()) return team.help();
      for (std::ptrdiff_t i; (i = next_tile++) < strips_ * bands_;) work(thread, tile(i), team);
      team.dismiss();
    });
  }

 private:
  static constexpr std::ptrdiff_t kMinRows = 8;

  std::ptrdiff_t rows() const { return work_.part.y1 - work_.part.y0; }
  std::ptrdiff_t start(std::ptrdiff_t band) const {
    return band == bands_ ? work_.part.y1 : work_.part.y0 + rows() * band / bands_ / work_.row_step * work_.row_step;
  }

  Work work_;
  std::ptrdiff_t strips_, bands_, workers_, threads_;
  int team_;
};

/// What calls need for as long as they run, kept from call to call: any number of threads may take one at a time. As
/// many are kept as can be computing at once, however many threads have called.
template <typename Context>
class ContextPool {
 public:
  /// A context that nobody else has, until this is destroyed.
  class Lease {
   public:
    explicit Lease(const ContextPool& pool) : pool_(pool), context_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(context_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Context* operator->() const { return context_.get(); }

   private:
    const ContextPool& pool_;
    std::unique_ptr<Context> context_;
  };

  ContextPool() : list_(new FreeList{ThreadPool::fork_generation(), {}, {}}) {}
  ~ContextPool() { delete list_.load(); }

 private:
  struct FreeList {
    const unsigned generation;  // of ThreadPool::fork_generation
    std::mutex mutex;
    std::vector<std::unique_ptr<Context>> contexts;
  };

  FreeList& list() const {
    FreeList* list = list_.load(std::memory_order_acquire);
    const unsigned generation = ThreadPool::fork_generation();
    if (list->generation == generation) return *list;
    // A forked child: the parent's list may have been copied locked, so it is left alone.
    auto* fresh = new FreeList{generation, {}, {}};
    if (list_.compare_exchange_strong(list, fresh)) return *fresh;
    delete fresh;
    return *list;
  }

  std::unique_ptr<Context> take() const {
    FreeList& free = list();
    std::lock_guard lock(free.mutex);
    free.contexts.reserve(kept_);  // to give back cannot fail
    if (free.contexts.empty()) return std::make_unique<Context>();
    std::unique_ptr<Context> context = std::move(free.contexts.back());
    free.contexts.pop_back();
    return context;
  }

  void give_back(std::unique_ptr<Context> context) const {
    FreeList& free = list();
    std::lock_guard lock(free.mutex);
    if (free.contexts.size() < kept_) free.contexts.push_back(std::move(context));
  }

  const std::size_t kept_ = std::max(1u, std::thread::hardware_concurrency());
  mutable std::atomic<FreeList*> list_;
};

/// Workers of those tilings that needs most.
inline std::size_t most_workers(const std::vector<Tiling>& tilings) {
  std::size_t most = 0;
  for (const Tiling& tiling : tilings) most = std::max(most, tiling.workers());
  return most;
}

/// Has one element a worker.
template <typename Elements>
void grow_to(Elements& elements, std::size_t workers) {
  if (elements.size() < workers) elements.resize(workers);
}

}  // namespace fsrcnn
