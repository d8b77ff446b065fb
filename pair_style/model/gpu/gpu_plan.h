/* The plan in a model file for a GPU: its buffers, weights, and the launches of each phase. */

#ifndef MLIP_GPU_PLAN_H
#define MLIP_GPU_PLAN_H

#include "gpu_device.h"
#include "gpu_memory.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace mlip {

class GpuPlan {
 public:
  using Json = nlohmann_lmp::json;

  /* Returns whether a plan needs cuBLAS. */
  static bool has_products(const Json &plan);

  /* Throws std::runtime_error or an exception of the JSON library if the plan is damaged. */
  GpuPlan(const Json &plan, const std::string &weights, GpuDevice &);
  ~GpuPlan();

  GpuMemory memory;
  int64_t n_elements() const { return elements; }
  int value_bytes() const { return bytes_of_value; }

  /* Buffers that the phases use; phases that the plan lacks are ignored. */
  std::set<int> buffers_of(const std::vector<std::string> &phases) const;

  /* Allocates memory for a graph, see GpuMemory::reserve. first_of_element (n_elements + 1): first local node of each
     element. */
  bool prepare(const std::set<int> &buffers, const GraphSizes &, const std::vector<int32_t> &first_of_element);

  /* Throws std::runtime_error if there is no such phase. */
  void run(const std::string &phase);

  GpuPlan(const GpuPlan &) = delete;
  GpuPlan &operator=(const GpuPlan &) = delete;

 private:
  struct Argument {
    enum Kind { BUFFER, SIZE, CONSTANT } kind;
    int buffer;
    SizeOf size;
    uint64_t value;    // bytes of a constant, or address of a weight
  };
  struct Op {
    enum Kind { KERNEL, CLEAR, COPY, PRODUCT } kind;
    std::string name;
    GpuDevice::Kernel kernel = nullptr;
    SizeOf rows{"one"};
    int64_t per_block = 1, grid_y = 1, n_threads = 1;
    std::vector<Argument> arguments;
    int buffer = -1, from = -1;    // for clear and copy; c and a of a product
    MatrixProduct product;
    int64_t a_offset = 0, c_offset = 0;
    bool is_by_element = false;
  };
  void upload_weights(const std::string &weights);
  const char *weight(const std::string &name) const;
  Op read_op(const Json &) const;
  Op read_kernel(const Json &) const;
  Op read_product(const Json &) const;
  Argument read_argument(const Json &) const;
  void run(const Op &);
  void run_profiled(const std::string &phase, const Op &);
  void print_profile() const;
  void launch(const Op &);
  void multiply(const Op &);
  void multiply_rows(const Op &, int64_t begin, int64_t end, int64_t matrix);

  GpuDevice &device;
  int64_t elements = 0;
  int bytes_of_value = 4;
  bool is_debugged = false, is_profiled = false;
  std::map<std::string, std::pair<int64_t, double>> spent;    // calls and seconds of each operation
  char *weights = nullptr;
  std::map<std::string, size_t> weight_offsets;
  std::map<std::string, std::vector<Op>> phases;
  GraphSizes sizes;
  std::vector<int32_t> element_begin;
};

}    // namespace mlip

#endif
