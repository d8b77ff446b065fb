/* The buffers of a plan in GPU memory. */

#ifndef MLIP_GPU_MEMORY_H
#define MLIP_GPU_MEMORY_H

#include "gpu_device.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace mlip {

constexpr int64_t MIN_EDGES = 1 << 16;    // minimum number of edges with reserved memory

/* The sizes that determine rows, grids and arguments. */
struct GraphSizes {
  int64_t local = 0, nodes = 0, atoms = 0, slots = 0, edges = 0, cells = 0, elements = 0;
};

/* A size, or a size plus a number, such as "nodes+1". */
class SizeOf {
 public:
  /* Throws std::runtime_error for an invalid text. */
  explicit SizeOf(const std::string &text);
  int64_t operator()(const GraphSizes &) const;

 private:
  int64_t GraphSizes::*size = nullptr;    // null: the size is 1
  int64_t extra = 0;
};

class GpuMemory {
 public:
  explicit GpuMemory(GpuDevice &device) : device(device) {}
  ~GpuMemory();

  /* Call both before the first reserve. Returns the number of the buffer. */
  int add(const std::string &name, const SizeOf &rows, int64_t width, int64_t value_bytes);
  /* Places these buffers contiguously in one allocation. */
  void join(const std::vector<std::string> &names);

  int find(const std::string &name) const;    // throws std::runtime_error if there is none

  /* Throws std::runtime_error if a buffer of the graph has more values than kernels can index. */
  void require_int32(const std::set<int> &buffers, const GraphSizes &) const;

  /* Allocates these buffers for a graph; a buffer that grows loses its content. Returns false if all buffers lost their
     content because memory was short. Throws std::runtime_error with the number of atoms that would fit. */
  bool reserve(const std::set<int> &buffers, const GraphSizes &);

  char *data(int buffer) const;
  size_t bytes(int buffer) const;    // size for the current graph
  int64_t width(int buffer) const { return buffers[buffer].width; }
  const std::string &name(int buffer) const { return buffers[buffer].name; }

 private:
  struct Buffer {
    std::string name;
    SizeOf rows;
    int64_t width, value_bytes;
    int block;
    size_t offset;
    bool is_counted_in_int;    // kernels index it with 32 bits
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
