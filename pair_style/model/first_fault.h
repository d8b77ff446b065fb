/* Keeps the first fault of a rank until the rank has taken part in every exchange of an evaluation. */

#ifndef MLIP_FIRST_FAULT_H
#define MLIP_FIRST_FAULT_H

#include <new>
#include <stdexcept>
#include <string>

namespace mlip {

class FirstFault {
 public:
  /* Runs step unless there was a fault. */
  template <class Step> void guard(const Step &step)
  {
    if (!text.empty()) return;
    try {
      step();
    } catch (const std::bad_alloc &) {
      text = "not enough memory for the model; use more ranks";
    } catch (const std::exception &e) {
      text = e.what();
      if (text.empty()) text = "unknown exception in the model; report a bug with this input";
    }
  }

  bool is_kept() const { return !text.empty(); }

  void raise() const
  {
    if (!text.empty()) throw std::runtime_error(text);
  }

 private:
  std::string text;
};

}    // namespace mlip

#endif
