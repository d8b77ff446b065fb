#include "pages.h"

#include <new>
#include <sys/mman.h>

using namespace mlip;

Pages::Pages(size_t n_bytes) : n_bytes(n_bytes)
{
  if (n_bytes == 0) return;
  void *const found = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) throw std::bad_alloc();
  start = static_cast<char *>(found);
}

Pages::~Pages()
{
  if (start) munmap(start, n_bytes);
}
