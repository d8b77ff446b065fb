/* ----------------------------------------------------------------------
   Deviations between the models of a committee.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "deviations.h"

#include "atom.h"
#include "comm.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <unistd.h>

using namespace LAMMPS_NS;

static constexpr const char HEADER[] =
    "# step energy_deviation(eV) force_deviation_max(eV/A) force_deviation_mean(eV/A) atom_of_max\n";

/* ---------------------------------------------------------------------- */

DeviationFile::~DeviationFile()
{
  close();
}

/* ---------------------------------------------------------------------- */

bool DeviationFile::open(const std::string &wanted)
{
  if (file && path == wanted) return true;
  close();
  path = wanted;
  file = fopen(path.c_str(), "a");
  if (!file) return false;
  has_rows = false;
  fseek(file, 0, SEEK_END);
  if (ftell(file) == 0) fputs(HEADER, file);
  fflush(file);
  return true;
}

/* ---------------------------------------------------------------------- */

void DeviationFile::note(bigint step, const DeviationTotals &totals)
{
  if (is_pending && pending_step != step) flush();
  is_pending = true;
  pending_step = step;
  pending = totals;
}

/* ---------------------------------------------------------------------- */

void DeviationFile::flush()
{
  if (!is_pending || !file) return;
  is_pending = false;
  if (pending_step > 0 && (!has_rows || pending_step == last_step)) drop_rows_from(pending_step);
  has_rows = true;
  last_step = pending_step;
  fprintf(file, "%lld %.10g %.10g %.10g %lld\n", static_cast<long long>(pending_step), pending.energy,
          pending.force_max, pending.force_mean, static_cast<long long>(pending.atom_of_max));
  fflush(file);
}

/* ---------------------------------------------------------------------- */

/* ----------------------------------------------------------------------
   steps that a run after a restart computes again are not in the file twice;
   a run from step 0 is a new one, whose rows follow those of earlier runs
------------------------------------------------------------------------- */

void DeviationFile::drop_rows_from(bigint step)
{
  std::ifstream written(path);
  std::string line;
  long long end = 0, start = -1, last = -1;    // start: of the first row to drop, last: step of the row before
  while (std::getline(written, line)) {
    const bool is_whole = !written.eof();    // a run that was killed can leave a part of a row
    char *after = nullptr;
    const long long found = strtoll(line.c_str(), &after, 10);
    if (after != line.c_str()) {
      if (found <= last) start = -1;    // another run begins here
      if (start < 0 && found >= step) start = end;
      last = found;
    }
    if (!is_whole && start < 0) start = end;
    end += static_cast<long long>(line.size()) + 1;
  }
  if (start >= 0 && ftruncate(fileno(file), start) == 0) fseek(file, 0, SEEK_END);
}

/* ---------------------------------------------------------------------- */

void DeviationFile::close()
{
  flush();
  if (file) fclose(file);
  file = nullptr;
  is_pending = false;
}

/* ---------------------------------------------------------------------- */

bool Deviations::begin(bool is_wanted, int n_models)
{
  has_atoms = is_wanted_by_atom != 0;
  return has_atoms || (is_wanted && n_models > 1);
}

/* ---------------------------------------------------------------------- */

void Deviations::prepare(mlip::Committee &models, const mlip::Edges &edges)
{
  models.prepare_deviations(edges);
  if (values.size() < static_cast<std::size_t>(atom->nmax)) values.resize(atom->nmax);
}

/* ---------------------------------------------------------------------- */

DeviationTotals Deviations::measure(mlip::Committee &models, const mlip::Edges &edges, mlip::Exchange &exchange)
{
  const double *deviation = models.force_deviations(edges, exchange);
  const int64_t n_rows = edges.graph().n_local;
  if (has_atoms) std::fill_n(values.begin(), atom->nlocal, 0.0);

  struct {
    double value;
    int rank;
  } mine = {-1.0, comm->me}, worst = mine;
  double sum = 0.0;
  tagint tag = 0;
  for (int64_t row = 0; row < n_rows; row++) {
    const int i = edges.atom_of_row(row);
    if (has_atoms) values[i] = deviation[row];
    sum += deviation[row];
    if (deviation[row] <= mine.value) continue;
    mine.value = deviation[row];
    tag = atom->tag_enable ? atom->tag[i] : 0;
  }
  MPI_Allreduce(&mine, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  MPI_Bcast(&tag, 1, MPI_LMP_TAGINT, worst.rank, world);

  std::vector<double> parts = models.energies();
  parts.push_back(sum);
  parts.push_back(static_cast<double>(n_rows));
  std::vector<double> sums(parts.size());
  MPI_Allreduce(parts.data(), sums.data(), static_cast<int>(parts.size()), MPI_DOUBLE, MPI_SUM, world);

  const int n_models = models.size();
  double mean = 0.0, spread = 0.0;
  for (int k = 0; k < n_models; k++) mean += sums[k] / n_models;
  for (int k = 0; k < n_models; k++) spread += (sums[k] - mean) * (sums[k] - mean) / n_models;

  DeviationTotals totals;
  totals.energy = std::sqrt(spread);
  totals.force_max = std::max(worst.value, 0.0);
  totals.force_mean = sums[n_models + 1] > 0.0 ? sums[n_models] / sums[n_models + 1] : 0.0;
  totals.atom_of_max = tag;
  return totals;
}
