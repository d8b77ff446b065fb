#include "gpu_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

using namespace mlip;

namespace {

constexpr size_t ALIGNMENT = 256;
constexpr size_t MOST_EXTRA = size_t(256) << 20;    // largest extra growth of a buffer

size_t aligned(size_t bytes)
{
  return (std::max<size_t>(bytes, 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Kernels index values with 32 bits, but with 64 bits in these buffers (row_of in kernels/gpu/convolution.h,
   gather_rows). */

bool has_int_index(const std::string &name)
{
  return name != "rows" && name.compare(0, 9, "received_") != 0;
}

}    // namespace

SizeOf::SizeOf(const std::string &text)
{
  static const std::map<std::string, int64_t GraphSizes::*> known = {
      {"local", &GraphSizes::local}, {"nodes", &GraphSizes::nodes},       {"atoms", &GraphSizes::atoms},
      {"slots", &GraphSizes::slots}, {"edges", &GraphSizes::edges},       {"elements", &GraphSizes::elements},
      {"cells", &GraphSizes::cells}, {"one", nullptr}};
  const size_t plus = text.find('+');
  const auto found = known.find(text.substr(0, plus));
  const std::string number = plus == std::string::npos ? "0" : text.substr(plus + 1);
  if (found == known.end() || number.empty() || number.size() > 9 ||
      number.find_first_not_of("0123456789") != std::string::npos)
    throw std::runtime_error("its plan has the unknown size '" + text + "'");
  size = found->second;
  extra = std::stoll(number);
}

int64_t SizeOf::operator()(const GraphSizes &sizes) const
{
  return (size ? sizes.*size : 1) + extra;
}

/* ---------------------------------------------------------------------- */

GpuMemory::~GpuMemory()
{
  for (Block &block : blocks) release(block);
}

int GpuMemory::add(const std::string &name, const SizeOf &rows, int64_t width, int64_t value_bytes)
{
  if (width < 0 || value_bytes < 1) throw std::runtime_error("its plan has an invalid size of buffer " + name);
  const int number = static_cast<int>(buffers.size());
  if (!numbers.emplace(name, number).second) throw std::runtime_error("its plan has two buffers " + name);
  buffers.push_back({name, rows, width, value_bytes, static_cast<int>(blocks.size()), 0, has_int_index(name)});
  blocks.emplace_back();
  blocks.back().buffers.push_back(number);
  return number;
}

void GpuMemory::join(const std::vector<std::string> &names)
{
  const int joint = buffers[find(names[0])].block;
  for (size_t k = 1; k < names.size(); k++) {
    Buffer &buffer = buffers[find(names[k])];
    blocks[buffer.block].buffers.clear();
    blocks[joint].buffers.push_back(find(names[k]));
    buffer.block = joint;
  }
}

int GpuMemory::find(const std::string &name) const
{
  const auto found = numbers.find(name);
  if (found == numbers.end()) throw std::runtime_error("its plan has no buffer " + name);
  return found->second;
}

char *GpuMemory::data(int buffer) const
{
  const Block &block = blocks[buffers[buffer].block];
  if (!block.memory) throw std::runtime_error("buffer " + buffers[buffer].name + " has no memory on the GPU");
  return block.memory + buffers[buffer].offset;
}

size_t GpuMemory::bytes(int buffer) const
{
  const Buffer &b = buffers[buffer];
  return static_cast<size_t>(b.rows(sizes)) * static_cast<size_t>(b.width * b.value_bytes);
}

/* ---------------------------------------------------------------------- */

/* Offsets and total size of the buffers of a block for the current graph. */

void GpuMemory::measure(Block &block)
{
  block.needed = 0;
  for (const int number : block.buffers) {
    buffers[number].offset = block.needed;
    block.needed += aligned(bytes(number));
  }
}

bool GpuMemory::reserve(const std::set<int> &wanted, const GraphSizes &of_graph)
{
  sizes = of_graph;
  for (Block &block : blocks) block.needed = 0;
  std::set<int> numbers_of_blocks;
  for (const int number : wanted) numbers_of_blocks.insert(buffers[number].block);
  for (const int k : numbers_of_blocks) measure(blocks[k]);

  std::vector<Block *> growing, all;
  for (const int k : numbers_of_blocks) {
    all.push_back(&blocks[k]);
    if (blocks[k].needed > blocks[k].capacity) growing.push_back(&blocks[k]);
  }
  if (growing.empty()) return true;
  device.synchronize();
  // free all old blocks first, so that the new ones fit
  for (Block *block : growing) release(*block);
  if (grow(growing, true)) return true;
  for (Block &block : blocks) release(block);
  if (grow(all, false)) return false;
  for (Block &block : blocks) release(block);
  throw std::runtime_error(shortage(wanted));
}

void GpuMemory::release(Block &block)
{
  if (block.memory) device.release(block.memory);
  block.memory = nullptr;
  block.capacity = 0;
}

/* Returns whether there was enough memory. */

bool GpuMemory::grow(const std::vector<Block *> &growing, bool is_generous)
{
  for (Block *block : growing) {
    const size_t bytes = aligned(block->needed + (is_generous ? std::min(block->needed / 4, MOST_EXTRA) : 0));
    block->memory = static_cast<char *>(device.allocate(bytes));
    if (!block->memory) return false;
    block->capacity = bytes;
  }
  return true;
}

void GpuMemory::require_int32(const std::set<int> &wanted, const GraphSizes &of_graph) const
{
  for (const int number : wanted) {
    const Buffer &b = buffers[number];
    const int64_t rows = b.rows(of_graph);
    if (!b.is_counted_in_int || b.width == 0 || rows <= INT32_MAX / b.width) continue;
    char text[256];
    std::snprintf(text, sizeof(text),
                  "too many atoms for one GPU: %lld atoms need %lld rows of %lld values in buffer %s, but at most "
                  "%lld rows are possible; use more GPUs or ranks",
                  static_cast<long long>(of_graph.local), static_cast<long long>(rows), static_cast<long long>(b.width),
                  b.name.c_str(), static_cast<long long>(INT32_MAX / b.width));
    throw std::runtime_error(text);
  }
}

size_t GpuMemory::needed_for(const std::set<int> &wanted, const GraphSizes &of_graph) const
{
  size_t total = 0;
  for (const int number : wanted) {
    const Buffer &b = buffers[number];
    total += aligned(static_cast<size_t>(b.rows(of_graph)) * static_cast<size_t>(b.width * b.value_bytes));
  }
  return total;
}

/* The size of some buffers does not depend on the number of atoms: only the others scale with it. */

std::string GpuMemory::shortage(const std::set<int> &wanted) const
{
  GraphSizes none;
  none.elements = sizes.elements;
  none.edges = std::min(sizes.edges, MIN_EDGES);
  const auto needed = static_cast<double>(needed_for(wanted, sizes));
  const auto fixed = static_cast<double>(needed_for(wanted, none));
  const auto available = static_cast<double>(device.free_bytes());
  const double share = (available - fixed) / std::max(needed - fixed, 1.0);
  const double fitting = 0.95 * static_cast<double>(sizes.local) * std::clamp(share, 0.0, 1.0);
  char text[256];
  std::snprintf(text, sizeof(text),
                "not enough GPU memory for %lld atoms (needs %.3g GB of %.3g GB); about %lld would fit; use more GPUs",
                static_cast<long long>(sizes.local), 1e-9 * needed, 1e-9 * available, static_cast<long long>(fitting));
  return text;
}
