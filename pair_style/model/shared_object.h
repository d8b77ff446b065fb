/* Loads shared objects from a model file. */

#ifndef MLIP_SHARED_OBJECT_H
#define MLIP_SHARED_OBJECT_H

#include <string>

namespace mlip {

/* Opens a shared object from memory, without a temporary file. It stays loaded until the process ends. Flags are those
   of dlopen; key is its name in tools that list memory. Throws std::runtime_error. */
void *open_in_memory(const std::string &key, const std::string &content, int flags);

}    // namespace mlip

#endif
