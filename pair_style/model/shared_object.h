/* Shared objects out of a model file. */

#ifndef MLIP_SHARED_OBJECT_H
#define MLIP_SHARED_OBJECT_H

#include <string>

namespace mlip {

/* Opens a shared object that lies in memory: nothing to clean up, no shared folder. It stays loaded until the process
   ends. Flags as for dlopen; key names it in tools that list memory. Throws std::runtime_error. */
void *open_in_memory(const std::string &key, const std::string &content, int flags);

}    // namespace mlip

#endif
