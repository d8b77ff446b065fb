/* The buffers of a plan in the memory of a GPU. */

#ifndef MLIP_GPU_MEMORY_H
#define MLIP_GPU_MEMORY_H

#include "gpu_device.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace mlip {

constexpr int64_t MIN_EDGES = 1 << 16;    // for which there is always memory

/* What rows, grids and arguments are counted in. */
struct GraphSizes {
  int64_t local = 0, nodes = 0, atoms = 0, slots = 0, edges = 0, cells = 0, elements = 0;
};

/* One of the sizes, or one with +N: "nodes+1". */
class SizeOf {
 public:
  /* Throws std::runtime_error for another text. */
  explicit SizeOf(const std::string &text);
  int64_t operator()(const GraphSizes &) const;

 private:
  int64_t GraphSizes::*size = nullptr;    // null: one
  int64_t extra = 0;
};

class GpuMemory {
 public:
  explicit GpuMemory(GpuDevice &device) : device(device) {}
  ~GpuMemory();

  /* Both before the first reserve. Returns the number of the buffer. */
  int add(const std::string &name, const SizeOf &rows, int64_t width, int64_t value_bytes);
  /* These lie one after the other in one allocation. */
  void join(const std::vector<std::string> &names);

  int find(const std::string &name) const;    // throws std::runtime_error if there is none

  /* Throws std::runtime_error for a graph with more numbers in a buffer than kernels can count. */
  void require_int32(const std::set<int> &buffers, const GraphSizes &) const;

  /* Memory for these buffers of a graph; what was in a buffer that has to grow is lost. Returns false if all was lost,
     as where memory is short. Throws std::runtime_error with the number of atoms that would fit. */
  bool reserve(const std::set<int> &buffers, const GraphSizes &);

  char *data(int buffer) const;
  size_t bytes(int buffer) const;    // of the present graph
  int64_t width(int buffer) const { return buffers[buffer].width; }
  const std::string &name(int buffer) const { return buffers[buffer].name; }

 private:
  struct Buffer {
    std::string name;
    SizeOf rows;
    int64_t width, value_bytes;
    int block;
    size_t offset;
    bool is_counted_in_int;    // by the kernels that read it
  };
  struct Block {
    std::vector<int> buffers;
    char *memory = nullptr;
    size_t capacity = 0, needed = 0;
  };
  void measure(Block &);
  void release(Block &);
  bool grow(const std::vector<Block *> &, bool is_generous);
  size_t needed_for(const std::set<int> &buffers, const GraphSizes &) const;
  std::string shortage(const std::set<int> &buffers) const;

  GpuDevice &device;
  GraphSizes sizes;
  std::vector<Buffer> buffers;
  std::vector<Block> blocks;
  std::map<std::string, int> numbers;
};

}    // namespace mlip

#endif
