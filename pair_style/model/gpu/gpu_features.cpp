#include "gpu_features.h"

#include <algorithm>
#include <cstring>

using namespace mlip;

namespace {

size_t row_bytes(const Features &f)
{
  return static_cast<size_t>(f.width) * f.value_bytes;
}

template <class T>
void add_scaled(T *to, const T *from, int64_t n_rows, int64_t width, const double *offsets, int axis, double factor)
{
  for (int64_t n = 0; n < n_rows; n++) {
    const T share = static_cast<T>(factor * offsets[3 * n + axis]);
    for (int64_t m = 0; m < width; m++) to[n * width + m] += share * from[n * width + m];
  }
}

}    // namespace

GpuFeatures::GpuFeatures(const Metadata &metadata, GpuPlan &plan, GpuDevice &device) :
    metadata(metadata), plan(plan), device(device), rows(device), staged(device)
{
  partial.resize(metadata.feature_widths.size() + 1);
  collected.resize(metadata.feature_widths.size() + 1);
}

void GpuFeatures::start(const NodeOrder &of_graph, const double *from_origin)
{
  order = &of_graph;
  offsets = from_origin;
  int64_t widest = 0;
  for (const int64_t width : metadata.feature_widths) widest = std::max(widest, width);
  rows.resize(order->n_nodes * widest * metadata.feature_bytes);
  if (!order->is_identity) staged.resize(order->n_local * widest * metadata.feature_bytes);
}

/* The width is set even if memory is short: a rank with a fault still takes part in the exchange. */

Features GpuFeatures::no_rows(int t) const
{
  return {nullptr, 0, metadata.feature_widths[t - 1], metadata.feature_bytes};
}

void GpuFeatures::forward(int t, Exchange &exchange, FirstFault &fault) const
{
  Features moving = no_rows(t);
  if (exchange.moves_rows()) fault.guard([&] { moving = download(t, "features_", false); });
  exchange.forward(moving);
  if (exchange.moves_rows())
    fault.guard([&] { upload_ghosts(moving, plan.memory.find("features_" + std::to_string(t))); });
}

void GpuFeatures::reverse(int t, int axis, Exchange &exchange, FirstFault &fault)
{
  Features moving = no_rows(t);
  if (!exchange.moves_rows()) return exchange.reverse(moving);    // all values are relative to the origin of this rank
  fault.guard([&] {
    moving = download(t, "feature_gradients_", true);
    if (offsets && axis == PLAIN) keep(partial[t], moving, order->n_nodes);
    if (offsets && axis != PLAIN) add_offsets(moving, partial[t], axis, -1.0, order->n_nodes);
  });
  exchange.reverse(moving);
  fault.guard([&] {
    if (offsets && axis == PLAIN) keep(collected[t], moving, order->n_local);
    if (offsets && axis != PLAIN) add_offsets(moving, collected[t], axis, 1.0, order->n_local);
    upload_owned(moving, plan.memory.find("feature_gradients_" + std::to_string(t)));
  });
}

/* ---------------------------------------------------------------------- */

Features GpuFeatures::download(int t, const char *tensor, bool has_ghosts) const
{
  Features moving = no_rows(t);
  moving.data = rows.data();
  moving.n_rows = order->n_nodes;
  const char *const on_device = plan.memory.data(plan.memory.find(tensor + std::to_string(t)));
  const size_t owned = order->n_local * row_bytes(moving), all = order->n_nodes * row_bytes(moving);
  device.download(order->is_identity ? rows.data() : staged.data(), on_device, owned);
  if (has_ghosts) device.download(rows.data() + owned, on_device + owned, all - owned);
  device.synchronize();
  if (!order->is_identity) order->to_caller(staged.data(), rows.data(), row_bytes(moving));
  return moving;
}

void GpuFeatures::upload_ghosts(const Features &moving, int buffer) const
{
  const size_t owned = order->n_local * row_bytes(moving), all = order->n_nodes * row_bytes(moving);
  device.upload(plan.memory.data(buffer) + owned, rows.data() + owned, all - owned);
}

void GpuFeatures::upload_owned(const Features &moving, int buffer) const
{
  if (!order->is_identity) order->to_device(rows.data(), staged.data(), row_bytes(moving));
  device.upload(plan.memory.data(buffer), order->is_identity ? rows.data() : staged.data(),
                order->n_local * row_bytes(moving));
}

/* ---------------------------------------------------------------------- */

void GpuFeatures::keep(std::vector<char> &copy, const Features &moving, int64_t n_rows) const
{
  copy.assign(rows.data(), rows.data() + n_rows * row_bytes(moving));
}

/* Adds factor times (x_n - x_o) times the plain gradient to the rows. */

void GpuFeatures::add_offsets(const Features &moving, const std::vector<char> &plain, int axis, double factor,
                              int64_t n_rows) const
{
  if (moving.value_bytes == 8)
    add_scaled(reinterpret_cast<double *>(rows.data()), reinterpret_cast<const double *>(plain.data()), n_rows,
               moving.width, offsets, axis, factor);
  else
    add_scaled(reinterpret_cast<float *>(rows.data()), reinterpret_cast<const float *>(plain.data()), n_rows,
               moving.width, offsets, axis, factor);
}
