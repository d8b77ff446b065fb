#include "shared_object.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

void *mlip::open_in_memory(const std::string &key, const std::string &content, int flags)
{
  // The descriptor stays open: otherwise another library could get the same path and be confused with this one.
  const int file = memfd_create(key.c_str(), MFD_CLOEXEC);
  if (file < 0) throw std::runtime_error(std::string("memfd_create failed: ") + std::strerror(errno));
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = write(file, content.data() + done, content.size() - done);
    if (n <= 0) throw std::runtime_error(std::string("cannot unpack a compiled program: ") + std::strerror(errno));
    done += static_cast<size_t>(n);
  }
  void *library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), flags);
  if (!library)
    throw std::runtime_error(std::string("cannot load a compiled program: ") + dlerror() +
                             "; export the model again on this machine");
  return library;
}
