/* Memory in whole pages. It goes back to the system when it is freed, unlike that of malloc in a process with a model. */

#ifndef MLIP_PAGES_H
#define MLIP_PAGES_H

#include <cstddef>
#include <utility>

namespace mlip {

class Pages {
 public:
  /* Throws std::bad_alloc. */
  explicit Pages(size_t n_bytes);
  Pages(Pages &&other) noexcept : start(std::exchange(other.start, nullptr)), n_bytes(std::exchange(other.n_bytes, 0)) {}
  ~Pages();

  char *data() { return start; }
  const char *data() const { return start; }
  size_t size() const { return n_bytes; }

 private:
  char *start = nullptr;
  size_t n_bytes = 0;
};

}    // namespace mlip

#endif
