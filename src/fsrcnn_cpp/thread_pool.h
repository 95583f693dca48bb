// One pool of worker threads per process. Callers lend it a body; idle workers help run it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace fsrcnn {

class ThreadPool {
 public:
  /// The pool of this process. It is made at first use, made anew in a forked child (threads do not survive a fork),
  /// and never destroyed: joining threads while a process unloads its libraries can hang.
  static ThreadPool& instance();

  /// How many forks this process descends from. A lock that another thread held when it forked stays locked for ever:
  /// what is guarded by one must be made anew when this has changed.
  static unsigned fork_generation();

  /// Runs `body()` on the calling thread and on up to `threads - 1` workers at once, and returns when every started
  /// body has returned. A worker that comes too late starts none, so the body must share its work through an atomic
  /// counter. The body must not throw. Several threads may call `run` at the same time; they share the workers. Where
  /// the system refuses threads, there are fewer workers, or none.
  template <typename Body>
  void run(int threads, const Body& body) {
    run_erased(
        threads, [](const void* b) { (*static_cast<const Body*>(b))(); }, &body);
  }

 private:
  struct Job {
    void (*call)(const void*);
    const void* body;
    int wanted;                // helpers that may still join, guarded by mutex_
    std::atomic<int> running;  // helpers inside the body, raised under mutex_
    Job* next;
  };

  void run_erased(int threads, void (*call)(const void*), const void* body);
  void grow(int workers);
  void work();
  Job* joinable_job();

  std::mutex mutex_;
  std::condition_variable job_posted_;
  std::condition_variable helper_left_;
  Job* jobs_ = nullptr;              // guarded by mutex_, newest first
  std::atomic<unsigned> posted_{0};  // counts posts, so that workers can spin without the lock
  int idle_ = 0;                     // workers asleep, guarded by mutex_
  std::vector<std::thread> workers_;
};

}  // namespace fsrcnn
