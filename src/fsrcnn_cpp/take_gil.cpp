#include "take_gil.h"

#ifdef _WIN32

namespace fsrcnn {

void take_gil(PyThreadState* state) { PyEval_RestoreThread(state); }  // no stack is unwound there

}  // namespace fsrcnn

#else

#include <pthread.h>
#include <unistd.h>

// A handler of cancellation, and no `catch`: the unwinding is glibc's, by libgcc_s, which must not meet the unwinder of
// another compiler that may be linked into the extension. Compiled without exceptions, the handler is jumped to.
#ifdef __EXCEPTIONS
#error "take_gil.cpp is to be compiled with -fno-exceptions"
#endif

namespace fsrcnn {
namespace {

void sleep_until_the_end(void*) {
  for (;;) pause();
}

}  // namespace

void take_gil(PyThreadState* state) {
  pthread_cleanup_push(sleep_until_the_end, nullptr);
  PyEval_RestoreThread(state);
  pthread_cleanup_pop(0);
}

}  // namespace fsrcnn

#endif
