/* A model on a GPU: evaluates graphs with edges from the host, or finds the edges of atoms itself. */

#ifndef MLIP_GPU_ENGINE_H
#define MLIP_GPU_ENGINE_H

#include "contract.h"
#include "model/first_fault.h"
#include "gpu_device.h"
#include "gpu_features.h"
#include "gpu_lists.h"
#include "gpu_plan.h"

#include <array>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace mlip {

class Archive;

class GpuEngine {
 public:
  /* Throws std::runtime_error with a message for the user: no GPU, no kernels for this GPU, no cuBLAS. */
  GpuEngine(const Archive &, const std::string &path, const Metadata &, const std::string &torch_dir);
  ~GpuEngine();

  /* See model.h. */
  Results evaluate(const Graph &, Exchange &, bool has_moments);
  StepResults step(const Atoms &, Exchange &);
  Gpu gpu() const;

  /* Seconds of phases that ran separately; steps that were replayed as a whole count as "last". */
  std::map<std::string, double> seconds;

 private:
  static constexpr int PLAIN = GpuFeatures::PLAIN;

  void run(const std::string &phase, FirstFault &);
  void run_timed(const std::string &phase);
  void sweep(int axis, Exchange &, FirstFault &);
  std::set<int> buffers(const std::vector<std::string> &phases, const std::vector<std::string> &others) const;
  /* The host's values must not change until the next synchronize(). */
  template <class T> void upload(const char *name, const std::vector<T> &values)
  {
    const int buffer = plan->memory.find(name);
    const size_t bytes = values.size() * sizeof(T);
    if (bytes > plan->memory.bytes(buffer))
      throw std::runtime_error(std::string("buffer ") + name + " is too small in the plan; export the model again");
    device->upload(plan->memory.data(buffer), values.data(), bytes);
  }
  void upload_atoms();

  // graphs
  void start(const Graph &, bool has_moments);
  void measure_offsets(const Graph &);
  void weigh(int axis);
  void take_energies(const Graph &);
  const double *download_gradients();
  void take_gradients(const Graph &);
  void take_moments(const Graph &, int axis);

  // steps
  void load_atoms(const Atoms &);
  void build_lists(const Atoms &);
  void reserve_atoms();
  bool reserve_step();
  int32_t download_found();
  void find_edges(const Atoms &);
  bool has_more_edges(int64_t found);
  void upload_positions(const Atoms &);
  void run_alone();
  bool record();
  void download_results();
  const char *result(const char *buffer) const;
  StepResults unpack();
  void find_closest(StepResults &);

  const Metadata &metadata;
  std::unique_ptr<GpuDevice> device;    // outlives the members in its memory
  std::unique_ptr<GpuPlan> plan;
  std::unique_ptr<GpuFeatures> features;
  std::unique_ptr<PinnedMemory> up, down;
  std::vector<std::string> programs;    // begin, forward_1, ..., last, ..., backward_1
  std::vector<std::string> whole;       // phases of a whole step

  NodeOrder order;
  EdgeLists edges;                         // edges of a graph
  CellGrid grid;                           // cells of a step
  GraphSizes sizes;                        // sizes of the last lists
  std::vector<double> weights, offsets;    // owned atoms in device order; offsets of all nodes from the origin
  std::vector<double> node_energies, edge_gradients, edge_moments, forces;

  int64_t slot_capacity = 0, edge_capacity = 0;    // reserved in the last step
  bool has_lists = false;                  // the device has the lists of the last step
  bool is_warm = false;                    // a step with these lists has run
  bool is_recorded = false, was_replayed = false, may_record = true;
};

}    // namespace mlip

#endif
