#include "thread_pool.h"

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__EMSCRIPTEN__)
#include <pthread.h>
#define FSRCNN_FORKS 1
#endif

#include <exception>

#include "spin.h"

namespace fsrcnn {
namespace {

std::atomic<ThreadPool*> g_pool{nullptr};
std::atomic<unsigned> g_generation{0};

void watch_forks() {
#if defined(FSRCNN_FORKS)
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    g_pool.store(nullptr);
    g_generation.fetch_add(1);
  });
  static_cast<void>(registered);
#endif
}

}  // namespace

unsigned ThreadPool::fork_generation() {
  watch_forks();
  return g_generation.load(std::memory_order_acquire);
}

ThreadPool& ThreadPool::instance() {
  watch_forks();
  ThreadPool* pool = g_pool.load(std::memory_order_acquire);
  if (!pool) {
    auto* fresh = new ThreadPool;
    if (g_pool.compare_exchange_strong(pool, fresh)) {
      pool = fresh;
    } else {
      delete fresh;
    }
  }
  return *pool;
}

/// As far as the system gives threads: with fewer helpers the same work is done, later.
void ThreadPool::grow(int workers) {
  try {
    while (static_cast<int>(workers_.size()) < workers) {
      workers_.emplace_back([this] { work(); });
    }
  } catch (const std::exception&) {
  }
}

ThreadPool::Job* ThreadPool::joinable_job() {
  for (Job* job = jobs_; job; job = job->next) {
    if (job->wanted > 0) return job;
  }
  return nullptr;
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Job* job = joinable_job();
    if (!job) {
      const unsigned seen = posted_.load();
      lock.unlock();
      spin_until([&] { return posted_.load(std::memory_order_relaxed) != seen; });
      lock.lock();
      ++idle_;
      job_posted_.wait(lock, [&] { return (job = joinable_job()) != nullptr; });
      --idle_;
    }
    --job->wanted;
    ++job->running;
    lock.unlock();
    job->call(job->body);
    lock.lock();
    // The job lives on the caller's stack: once `running` is down it may vanish.
    if (job->running.fetch_sub(1, std::memory_order_acq_rel) == 1) helper_left_.notify_all();
  }
}

void ThreadPool::run_erased(int threads, void (*call)(const void*), const void* body) {
  if (threads <= 1) return call(body);
  Job job{call, body, threads - 1, 0, nullptr};
  {
    std::lock_guard lock(mutex_);
    grow(threads - 1);
    job.next = jobs_;
    jobs_ = &job;
    posted_.fetch_add(1);
    if (idle_ > 0) job_posted_.notify_all();
  }
  call(body);
  {
    std::lock_guard lock(mutex_);
    job.wanted = 0;  // nothing is left to do for late comers
    Job** link = &jobs_;
    while (*link != &job) link = &(*link)->next;
    *link = job.next;
  }
  const auto done = [&] { return job.running.load(std::memory_order_acquire) == 0; };
  spin_until(done);
  if (done()) return;
  std::unique_lock lock(mutex_);
  helper_left_.wait(lock, done);
}

}  // namespace fsrcnn
