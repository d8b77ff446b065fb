/* Rows of features on a GPU that travel to other ranks through host memory. */

#ifndef MLIP_GPU_FEATURES_H
#define MLIP_GPU_FEATURES_H

#include "contract.h"
#include "model/first_fault.h"
#include "gpu_lists.h"
#include "gpu_plan.h"

#include <vector>

namespace mlip {

class GpuFeatures {
 public:
  static constexpr int PLAIN = -1;    // no axis: gradients of energies with weights of 1

  GpuFeatures(const Metadata &, GpuPlan &, GpuDevice &);

  /* Room for the rows of a graph. offsets (n_local + n_ghost, 3): positions from an origin, for moments; else null. */
  void start(const NodeOrder &, const double *offsets);

  /* Features of layer t to ghosts. Calls the exchange once, also after a fault. */
  void forward(int t, Exchange &, FirstFault &) const;

  /* Gradients of them from ghosts to owners. With an axis they are of energies weighted by that coordinate from the
     origin of this rank; moments relative to the node, which other ranks understand, travel. Calls it once too. */
  void reverse(int t, int axis, Exchange &, FirstFault &);

 private:
  Features no_rows(int t) const;
  Features download(int t, const char *tensor, bool has_ghosts) const;
  void upload_ghosts(const Features &, int buffer) const;
  void upload_owned(const Features &, int buffer) const;
  void keep(std::vector<char> &, const Features &, int64_t n_rows) const;
  void add_offsets(const Features &, const std::vector<char> &plain, int axis, double factor, int64_t n_rows) const;

  const Metadata &metadata;
  GpuPlan &plan;
  GpuDevice &device;
  const NodeOrder *order = nullptr;
  const double *offsets = nullptr;
  mutable PinnedMemory rows, staged;                    // in the caller's order, in device order
  std::vector<std::vector<char>> partial, collected;    // plain gradients of each layer, before and after the exchange
};

}    // namespace mlip

#endif
