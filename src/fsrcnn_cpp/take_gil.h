// How a thread that has left the GIL to others gets it back.
#pragma once

#include <Python.h>

namespace fsrcnn {

/// Takes the GIL again. While the interpreter ends, nobody gets it: up to Python 3.13 the thread that asks is ended by
/// pthread_exit, which may unwind its stack, and that may not go through a destructor. Such a thread sleeps here until
/// the process is over, as Python itself has it from 3.14 on.
void take_gil(PyThreadState* state);

}  // namespace fsrcnn
