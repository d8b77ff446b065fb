/* -*- c++ -*- ----------------------------------------------------------
   Exchange of node features for pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_COMM_EXCHANGE_H
#define LMP_COMM_EXCHANGE_H

#include "atom_rows.h"
#include "contract.h"
#include "needed_ghosts.h"
#include "step_profile.h"

#include "comm.h"
#include "error.h"
#include "pair.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace LAMMPS_NS {

/* ----------------------------------------------------------------------
   sends rows of node features through the pair communication of LAMMPS, whose
   buffers hold doubles: rows are copied as bytes, padded to a multiple of 8;
   and sums numbers over ranks
------------------------------------------------------------------------- */

class CommExchange : public mlip::Exchange {
 public:
  /* Adds the time of each exchange to seconds. */
  CommExchange(Pair *pair, Comm *&comm, Error *&error, MPI_Comm &world, double &seconds) :
      pair(pair), comm(comm), error(error), world(world), seconds(seconds)
  {
  }

  // numbering of the exchanged rows, set before each evaluation
  const mlip::AtomRows *numbering = nullptr;

  // after a fault of this rank: take part, send zeros, discard what arrives
  bool is_mute = false;

  // of the edges of this step
  NeededGhosts ghosts;

  static int doubles_per_row(int64_t width, int value_bytes)
  {
    return static_cast<int>((width * value_bytes + 7) / 8);
  }

  bool has_features() const { return pair->comm_forward > 0; }

  /* Collective: owners hear which of their ghosts need features. */
  void tell_needed_ghosts()
  {
    if (!has_features()) return;
    const Stopwatch watch(seconds);
    features = nullptr;
    comm->reverse_comm(pair, 1);
  }

  void forward(mlip::Features &rows) override
  {
    const Stopwatch watch(seconds);
    if (!start(rows, pair->comm_forward)) return;
    comm->forward_comm(pair, stride);
    features = nullptr;
  }

  void reverse(mlip::Features &rows) override
  {
    const Stopwatch watch(seconds);
    if (!start(rows, pair->comm_reverse)) return;
    comm->reverse_comm(pair, stride);
    features = nullptr;
  }

  // the model counts this time
  void sum(double *values, int64_t n) override
  {
    MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(n), MPI_DOUBLE, MPI_SUM, world);
  }

  int rank() const override { return comm->me; }
  int n_ranks() const override { return comm->nprocs; }

  int pack_owned(int n, const int *list, double *buf) const
  {
    const char *const is_needed = ghosts.of_list(list);
    double *next = buf;
    for (int k = 0; k < n; k++)
      if (!is_needed || is_needed[k]) next = pack(list[k], next);
    return static_cast<int>(next - buf);
  }

  int pack_ghosts(int n, int first, double *buf) const
  {
    if (!features) return ghosts.tell(n, first, buf);
    const char *const is_needed = ghosts.of_ghosts(first);
    double *next = buf;
    for (int k = 0; k < n; k++)
      if (!is_needed || is_needed[k]) next = pack(first + k, next);
    return static_cast<int>(next - buf);
  }

  void overwrite(int n, int first, const double *buf) const
  {
    const char *const is_needed = ghosts.of_ghosts(first);
    for (int k = 0; k < n; k++) {
      if (is_needed && !is_needed[k]) continue;
      if (char *row = row_of(first + k)) memcpy(row, buf, bytes);
      buf += stride;
    }
  }

  void add(int n, const int *list, const double *buf)
  {
    if (!features) return ghosts.hear(n, list, buf);
    const char *const is_needed = ghosts.of_list(list);
    for (int k = 0; k < n; k++) {
      if (is_needed && !is_needed[k]) continue;
      if (char *row = row_of(list[k])) add_row(row, buf);
      buf += stride;
    }
  }

 private:
  Pair *pair;
  Comm *&comm;
  Error *&error;
  MPI_Comm &world;
  double &seconds;
  mlip::Features *features = nullptr;
  int stride = 0;
  std::size_t bytes = 0;

  // width and value_bytes come from the model file and are the same on every rank
  bool start(mlip::Features &rows, int announced)
  {
    features = &rows;
    bytes = rows.width * rows.value_bytes;
    stride = doubles_per_row(rows.width, rows.value_bytes);
    if (stride > announced)
      error->all(FLERR, "pair_style mlip/torch: the model exchanges " + std::to_string(rows.width) +
                     " numbers per atom, more than its metadata states; export the model again");
    return stride > 0;
  }

  // one row; an atom without one sends zeros
  double *pack(int atom, double *buf) const
  {
    const char *row = row_of(atom);
    buf[stride - 1] = 0.0;
    if (row)
      memcpy(buf, row, bytes);
    else
      std::fill(buf, buf + stride, 0.0);
    return buf + stride;
  }

  char *row_of(int atom) const
  {
    const int row = is_mute ? -1 : numbering->row_of_atom(atom);
    if (row < 0 || row >= features->n_rows) return nullptr;
    return static_cast<char *>(features->data) + row * bytes;
  }

  void add_row(char *row, const double *buf) const
  {
    if (features->value_bytes == 4)
      add_values<float>(row, buf);
    else
      add_values<double>(row, buf);
  }

  template <class T> void add_values(char *row, const double *buf) const
  {
    T *sum = reinterpret_cast<T *>(row);
    const char *values = reinterpret_cast<const char *>(buf);
    for (int64_t k = 0; k < features->width; k++) {
      T value;
      memcpy(&value, values + k * sizeof(T), sizeof(T));
      sum[k] += value;
    }
  }
};

}    // namespace LAMMPS_NS

#endif
