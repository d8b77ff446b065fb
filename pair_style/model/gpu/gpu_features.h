/* Feature rows on a GPU, sent to other ranks through host memory. */

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
  static constexpr int PLAIN = -1;    // no axis: gradients of unweighted energies

  GpuFeatures(const Metadata &, GpuPlan &, GpuDevice &);

  /* Reserves rows for a graph. offsets (n_local + n_ghost, 3): positions from an origin, for moments; else null. */
  void start(const NodeOrder &, const double *offsets);

  /* Sends features of layer t to ghosts. Calls the exchange once, also after a fault. */
  void forward(int t, Exchange &, FirstFault &) const;

  /* Sends their gradients from ghosts to owners. With an axis, energies are weighted by that coordinate from the origin
     of this rank, and moments relative to the node are sent, which do not depend on the origin. Also calls the exchange
     once. */
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
  mutable PinnedMemory rows, staged;                    // in the caller's order; in device order
  std::vector<std::vector<char>> partial, collected;    // plain gradients of each layer, before and after the exchange
};

}    // namespace mlip

#endif
