#include "gpu_plan.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

using namespace mlip;

namespace {

template <class T> uint64_t bytes_of(T value)
{
  uint64_t result = 0;
  std::memcpy(&result, &value, sizeof(T));
  return result;
}

uint64_t address(const void *pointer)
{
  return bytes_of(reinterpret_cast<uintptr_t>(pointer));
}

int32_t as_int32(int64_t value)
{
  if (value > INT_MAX || value < INT_MIN)
    throw std::runtime_error("size " + std::to_string(value) + " is too large for the GPU; use more GPUs or ranks");
  return static_cast<int32_t>(value);
}

}    // namespace

bool GpuPlan::has_products(const Json &plan)
{
  for (const auto &phase : plan.at("phases"))
    for (const auto &op : phase)
      if (op.contains("gemm")) return true;
  return false;
}

/* Environment variables. MLIP_LAMMPS_GPU_DEBUG: wait for each operation, so that errors name the one that failed.
   MLIP_LAMMPS_GPU_PROFILE: wait for each operation, and print the times at the end. */

GpuPlan::GpuPlan(const Json &plan, const std::string &content, GpuDevice &device) : memory(device), device(device)
{
  elements = plan.at("n_elements").get<int64_t>();
  bytes_of_value = plan.at("value_bytes").get<int>();
  if (bytes_of_value != 4 && bytes_of_value != 8)
    throw std::runtime_error("its plan has value_bytes " + std::to_string(bytes_of_value) + ", expected 4 or 8");
  is_debugged = std::getenv("MLIP_LAMMPS_GPU_DEBUG") != nullptr;
  is_profiled = std::getenv("MLIP_LAMMPS_GPU_PROFILE") != nullptr;
  for (const auto &entry : plan.at("weights").items()) {
    const auto offset = entry.value().get<int64_t>();
    if (offset < 0 || static_cast<size_t>(offset) > content.size())
      throw std::runtime_error("its plan has weight " + entry.key() + " outside weights.bin");
    weight_offsets[entry.key()] = static_cast<size_t>(offset);
  }
  for (const auto &entry : plan.at("buffers").items()) {
    const auto &buffer = entry.value();
    memory.add(entry.key(), SizeOf(buffer.at("rows").get<std::string>()), buffer.at("width").get<int64_t>(),
               buffer.at("bytes").get<int64_t>());
  }
  upload_weights(content);
  try {
    for (const auto &entry : plan.at("phases").items()) {
      std::vector<Op> &ops = phases[entry.key()];
      for (const auto &op : entry.value()) ops.push_back(read_op(op));
    }
  } catch (...) {
    device.release(weights);
    throw;
  }
}

GpuPlan::~GpuPlan()
{
  if (is_profiled) print_profile();
  device.release(weights);
}

void GpuPlan::upload_weights(const std::string &content)
{
  weights = static_cast<char *>(device.allocate(std::max<size_t>(content.size(), 256)));
  if (!weights) throw std::runtime_error("not enough GPU memory for the model; use fewer ranks per GPU");
  device.upload(weights, content.data(), content.size());
  device.synchronize();
}

const char *GpuPlan::weight(const std::string &name) const
{
  const auto found = weight_offsets.find(name);
  if (found == weight_offsets.end()) throw std::runtime_error("its plan has no weight " + name);
  return weights + found->second;
}

/* ---------------------------------------------------------------------- */

GpuPlan::Op GpuPlan::read_op(const Json &json) const
{
  if (json.contains("kernel")) return read_kernel(json);
  if (json.contains("gemm")) return read_product(json.at("gemm"));
  Op op{};
  if (json.contains("clear")) {
    op.kind = Op::CLEAR;
    op.name = "clear " + json.at("clear").get<std::string>();
    op.buffer = memory.find(json.at("clear").get<std::string>());
  } else if (json.contains("copy")) {
    op.kind = Op::COPY;
    op.name = "copy to " + json.at("to").get<std::string>();
    op.from = memory.find(json.at("copy").get<std::string>());
    op.buffer = memory.find(json.at("to").get<std::string>());
  } else {
    throw std::runtime_error("its plan has the unknown operation " + json.dump());
  }
  return op;
}

GpuPlan::Op GpuPlan::read_kernel(const Json &json) const
{
  Op op{};
  op.kind = Op::KERNEL;
  op.name = json.at("kernel").get<std::string>();
  op.kernel = device.kernel(op.name);
  op.n_threads = json.at("threads").get<int64_t>();
  const auto &grid = json.at("grid");
  const auto &x = grid.at(0);
  if (x.is_object()) {
    op.rows = SizeOf(x.at("rows").get<std::string>());
    op.per_block = x.at("per_block").get<int64_t>();
  } else {
    op.rows = SizeOf("one+" + std::to_string(x.get<int64_t>() - 1));
  }
  if (grid.size() > 1) op.grid_y = grid.at(1).get<int64_t>();
  if (op.per_block < 1 || op.grid_y < 1 || op.n_threads < 1)
    throw std::runtime_error("its plan has an invalid grid for kernel " + op.name);
  for (const auto &argument : json.at("args")) op.arguments.push_back(read_argument(argument));
  return op;
}

GpuPlan::Argument GpuPlan::read_argument(const Json &json) const
{
  const auto kind = json.at(0).get<std::string>();
  Argument argument{Argument::CONSTANT, -1, SizeOf("one"), 0};
  if (kind == "buffer") {
    argument.kind = Argument::BUFFER;
    argument.buffer = memory.find(json.at(1).get<std::string>());
  } else if (kind == "size") {
    argument.kind = Argument::SIZE;
    argument.size = SizeOf(json.at(1).get<std::string>());
  } else if (kind == "weight") {
    argument.value = address(weight(json.at(1).get<std::string>()));
  } else if (kind == "null") {
    argument.value = 0;
  } else if (kind == "int") {
    argument.value = bytes_of(as_int32(json.at(1).get<int64_t>()));
  } else if (kind == "double") {
    argument.value = bytes_of(json.at(1).get<double>());
  } else if (kind == "float") {
    argument.value = bytes_of(json.at(1).get<float>());
  } else {
    throw std::runtime_error("its plan has the unknown argument " + json.dump());
  }
  return argument;
}

GpuPlan::Op GpuPlan::read_product(const Json &json) const
{
  const auto number = [&](const char *name) { return json.value(name, int64_t(0)); };
  Op op{};
  op.kind = Op::PRODUCT;
  op.name = "product with " + json.at("w").get<std::string>();
  op.from = memory.find(json.at("a").get<std::string>());
  op.buffer = memory.find(json.at("c").get<std::string>());
  op.rows = SizeOf(json.at("rows").get<std::string>());
  op.a_offset = number("a_offset");
  op.c_offset = number("c_offset");
  op.is_by_element = json.value("by_element", false);
  MatrixProduct &p = op.product;
  p.n = json.at("n").get<int64_t>();
  p.k = json.at("k").get<int64_t>();
  p.n_batches = json.value("batch", int64_t(1));
  p.a_row = json.at("a_row").get<int64_t>();
  p.a_batch = number("a_batch");
  p.c_row = json.at("c_row").get<int64_t>();
  p.c_batch = number("c_batch");
  p.w = weight(json.at("w").get<std::string>());
  p.is_transposed = json.value("transposed", false);
  p.beta = json.value("beta", 0.0);
  p.value_bytes = bytes_of_value;
  if (p.n < 1 || p.k < 1 || p.n_batches < 1 || p.a_row < p.k || p.c_row < p.n)
    throw std::runtime_error("its plan has invalid sizes for the " + op.name);
  return op;
}

/* ---------------------------------------------------------------------- */

std::set<int> GpuPlan::buffers_of(const std::vector<std::string> &names) const
{
  std::set<int> used;
  for (const auto &name : names) {
    const auto phase = phases.find(name);
    if (phase == phases.end()) continue;
    for (const Op &op : phase->second) {
      for (const int buffer : {op.buffer, op.from})
        if (buffer >= 0) used.insert(buffer);
      for (const Argument &argument : op.arguments)
        if (argument.kind == Argument::BUFFER) used.insert(argument.buffer);
    }
  }
  return used;
}

bool GpuPlan::prepare(const std::set<int> &buffers, const GraphSizes &of_graph,
                      const std::vector<int32_t> &first_of_element)
{
  if (of_graph.slots > INT_MAX / 3)
    throw std::runtime_error("too many pairs of atoms for one GPU (" + std::to_string(of_graph.slots) + " of " +
                             std::to_string(INT_MAX / 3) + "); use more GPUs or ranks");
  if (of_graph.atoms > INT_MAX / 3 || of_graph.nodes > INT_MAX / 3)
    throw std::runtime_error("too many atoms for one GPU (" + std::to_string(of_graph.atoms) +
                             "); use more GPUs or ranks");
  memory.require_int32(buffers, of_graph);
  sizes = of_graph;
  element_begin = first_of_element;
  return memory.reserve(buffers, of_graph);
}

void GpuPlan::run(const std::string &name)
{
  const auto phase = phases.find(name);
  if (phase == phases.end()) throw std::runtime_error("the model file has no phase " + name + "; export it again");
  for (const Op &op : phase->second) {
    try {
      if (is_profiled)
        run_profiled(name, op);
      else
        run(op);
      if (is_debugged) device.synchronize();
    } catch (const std::runtime_error &e) {
      throw std::runtime_error("phase " + name + ", " + op.name + ": " + e.what());
    }
  }
}

void GpuPlan::run_profiled(const std::string &phase, const Op &op)
{
  device.synchronize();
  const auto start = std::chrono::steady_clock::now();
  run(op);
  device.synchronize();
  auto &[n_calls, seconds] = spent[phase + " " + op.name];
  n_calls++;
  seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void GpuPlan::print_profile() const
{
  double total = 0.0;
  for (const auto &entry : spent) total += entry.second.second;
  std::fprintf(stderr, "mlip-lammps: operations on the GPU, calls, microseconds per call, share\n");
  for (const auto &[name, calls_and_seconds] : spent) {
    const auto &[n_calls, seconds] = calls_and_seconds;
    std::fprintf(stderr, "%-48s %8lld %10.1f %6.1f %%\n", name.c_str(), static_cast<long long>(n_calls),
                 1e6 * seconds / static_cast<double>(n_calls), 100.0 * seconds / total);
  }
}

void GpuPlan::run(const Op &op)
{
  if (op.kind == Op::KERNEL)
    launch(op);
  else if (op.kind == Op::PRODUCT)
    multiply(op);
  else if (op.kind == Op::CLEAR)
    device.clear(memory.data(op.buffer), memory.bytes(op.buffer));
  else
    device.copy(memory.data(op.buffer), memory.data(op.from), std::min(memory.bytes(op.buffer), memory.bytes(op.from)));
}

void GpuPlan::launch(const Op &op)
{
  Launch launch;
  launch.grid_x = as_int32(std::max<int64_t>(1, (op.rows(sizes) + op.per_block - 1) / op.per_block));
  launch.grid_y = op.grid_y;
  launch.n_threads = op.n_threads;
  launch.arguments.reserve(op.arguments.size());
  for (const Argument &argument : op.arguments) {
    uint64_t value = argument.value;
    if (argument.kind == Argument::BUFFER) value = address(memory.data(argument.buffer));
    if (argument.kind == Argument::SIZE) value = bytes_of(as_int32(argument.size(sizes)));
    launch.arguments.push_back(value);
  }
  device.launch(op.kernel, launch);
}

void GpuPlan::multiply(const Op &op)
{
  if (!op.is_by_element) return multiply_rows(op, 0, op.rows(sizes), 0);
  for (int64_t z = 0; z < elements; z++) multiply_rows(op, element_begin[z], element_begin[z + 1], z);
}

void GpuPlan::multiply_rows(const Op &op, int64_t begin, int64_t end, int64_t matrix)
{
  if (end <= begin) return;
  MatrixProduct product = op.product;
  product.n_rows = end - begin;
  product.a = memory.data(op.from) + (op.a_offset + begin * product.a_row) * bytes_of_value;
  product.c = memory.data(op.buffer) + (op.c_offset + begin * product.c_row) * bytes_of_value;
  product.w = static_cast<const char *>(product.w) + matrix * product.n * product.k * bytes_of_value;
  device.multiply(product);
}
