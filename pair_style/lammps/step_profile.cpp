/* ----------------------------------------------------------------------
   Time profile of the steps of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "step_profile.h"

#include "committee.h"

#include "comm.h"
#include "update.h"
#include "utils.h"

#include <string>
#include <utility>
#include <vector>

using namespace LAMMPS_NS;

using Section = std::pair<std::string, double>;    // name and seconds of this rank

/* ---------------------------------------------------------------------- */

static double seconds_of(mlip::Model &model, const std::string &program)
{
  for (const auto &timing : model.timings())
    if (timing.first == program) return timing.second;
  return 0.0;
}

/* ----------------------------------------------------------------------
   in execution order; one program runs the last layer forward and backward,
   and a step that a GPU replays as a whole counts as the last layer
------------------------------------------------------------------------- */

static std::vector<Section> layers_of(mlip::Model &model, const std::string &before)
{
  const auto spent = [&](const std::string &program) { return seconds_of(model, program); };
  const int n_layers = static_cast<int>(model.metadata().n_layers);
  std::vector<Section> sections;
  for (int t = 1; t < n_layers; t++)
    sections.emplace_back(before + "layer " + std::to_string(t) + " forward", spent("forward_" + std::to_string(t)));
  const std::string last = std::to_string(n_layers);
  if (model.metadata().latent_ewald.is_used) {
    sections.emplace_back(before + "layer " + last + " forward", spent("forward_" + last));
    sections.emplace_back(before + "sum over all atoms", spent("latent_ewald"));
    sections.emplace_back(before + "layer " + last + " backward", spent("backward_" + last));
  } else {
    sections.emplace_back(before + "layer " + last + " both ways", spent("last"));
  }
  for (int t = n_layers - 1; t > 0; t--)
    sections.emplace_back(before + "layer " + std::to_string(t) + " backward", spent("backward_" + std::to_string(t)));
  return sections;
}

/* ---------------------------------------------------------------------- */

void StepProfile::reset(mlip::Committee &models)
{
  total = edges = communication = 0.0;
  n_evaluations = n_sent = 0;
  for (int k = 0; k < models.size(); k++) models.model(k).reset_timings();
}

/* ---------------------------------------------------------------------- */

void StepProfile::begin(mlip::Committee &models)
{
  if (is_of_setup && !update->setupflag) reset(models);
  is_of_setup = update->setupflag;
  n_evaluations++;
}

/* ---------------------------------------------------------------------- */

void StepProfile::print(mlip::Committee &models)
{
  if (n_evaluations == 0) return;

  std::vector<Section> sections = {{"edges", edges}};
  for (int k = 0; k < models.size(); k++) {
    for (const char *program : {"list", "edges"}) sections[0].second += seconds_of(models.model(k), program);
    const std::string before = models.size() > 1 ? "model " + std::to_string(k + 1) + " " : "";
    for (const auto &layer : layers_of(models.model(k), before)) sections.push_back(layer);
  }
  sections.emplace_back("communication", communication);
  double rest = total;
  for (const auto &section : sections) rest -= section.second;
  sections.emplace_back("rest", rest);
  sections.emplace_back("total", total);

  // the last number is not a time: kB sent
  const int n = static_cast<int>(sections.size());
  std::vector<double> mine(n + 1), least(n + 1), sum(n + 1), most(n + 1);
  for (int k = 0; k < n; k++) mine[k] = 1e3 * sections[k].second / static_cast<double>(n_evaluations);
  mine[n] = 1e-3 * sizeof(double) * static_cast<double>(n_sent) / static_cast<double>(n_evaluations);
  MPI_Reduce(mine.data(), least.data(), n + 1, MPI_DOUBLE, MPI_MIN, 0, world);
  MPI_Reduce(mine.data(), sum.data(), n + 1, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(mine.data(), most.data(), n + 1, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me != 0) return;

  std::string text = fmt::format("\nmlip/torch profile: milliseconds per evaluation on each rank, {} evaluations\n"
                                 "{:<26} | {:>10} | {:>10} | {:>10} | {:>6}\n{}\n",
                                 n_evaluations, "Section", "min time", "avg time", "max time", "%total",
                                 std::string(74, '-'));
  for (int k = 0; k < n; k++)
    text += fmt::format("{:<26} | {:>10.4g} | {:>10.4g} | {:>10.4g} | {:>6.2f}\n", sections[k].first, least[k],
                        sum[k] / comm->nprocs, most[k], sum[n - 1] > 0.0 ? 100.0 * sum[k] / sum[n - 1] : 0.0);
  text += fmt::format("kB sent per evaluation     | {:>10.4g} | {:>10.4g} | {:>10.4g} |\n", least[n],
                      sum[n] / comm->nprocs, most[n]);
  utils::logmesg(lmp, text);
}
