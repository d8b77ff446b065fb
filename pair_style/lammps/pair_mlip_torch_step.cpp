/* ----------------------------------------------------------------------
   One step of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_parts.h"

#include "atom_sums.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

void PairMlipTorch::compute(int eflag, int vflag)
{
  if (!parts->is_ready)
    error->all(FLERR, MLIP_STYLE + std::string("pair_coeff was given after the last set-up of a run, so neighbours "
                                               "and buffers belong to another model; use: run without pre no"));
  parts->profile.begin(parts->models);
  const Stopwatch watch(parts->profile.total);
  ev_init(eflag, vflag);
  if (neighbor->ago == 0) parts->rules.check_list(list, parts->loaded.kind_of_type);

  view_atoms();

  // a rank with a fault, or without atoms, takes part in every exchange; then all ranks stop or none does
  const bool is_noted = is_deviation_noted();
  const bool has_deviations = parts->deviations.begin(eflag_global || is_noted, parts->models.size());
  parts->is_resident = is_resident_step(has_deviations);
  std::string notice;
  const std::string fault = parts->is_resident ? compute_resident(notice) : compute_on_edges(has_deviations, notice);
  settle(fault, notice);

  add_results();
  if (has_deviations) measure_deviations(is_noted);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::view_atoms()
{
  mlip::AtomArrays &atoms = parts->atoms;
  atoms.n_local = atom->nlocal;
  atoms.n_ghost = atom->nghost;
  atoms.positions = atom->x ? atom->x[0] : nullptr;
  atoms.types = atom->type;
  atoms.kind_of_type = parts->loaded.kind_of_type.data();
  atoms.groups = atom->mask;
}

/* ----------------------------------------------------------------------
   an occasional list is built now
------------------------------------------------------------------------- */

void PairMlipTorch::view_neighbours()
{
  if (list->occasional) neighbor->build_one(list);
  mlip::NeighbourRows &rows = parts->rows;
  rows.n_centres = list->inum;
  rows.centres = list->ilist;
  rows.counts = list->numneigh;
  rows.rows = list->firstneigh;
  rows.mask = NEIGHMASK;
}

/* ----------------------------------------------------------------------
   per-atom virials and deviations need edge gradients; the answer is the same
   on every rank
------------------------------------------------------------------------- */

bool PairMlipTorch::is_resident_step(bool has_deviations)
{
  return parts->models.size() == 1 && parts->models.model(0).finds_edges() && !vflag_atom && !cvflag_atom &&
      !has_deviations;
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::compute_on_edges(bool has_deviations, std::string &notice)
{
  parts->resident.forget();
  view_neighbours();
  view_cell();
  std::string fault = build_edges();
  notice = find_close_atoms(parts->edges.closest());
  if (fault.empty() && parts->settings.close == CloseAtoms::ERROR) fault = notice;
  parts->exchange.numbering = &parts->edges.rows();
  parts->exchange.is_mute = !fault.empty();
  if (!fault.empty()) parts->edges.clear();
  parts->graph = parts->edges.graph();

  const std::string model_fault = evaluate_models(has_deviations);
  if (fault.empty()) fault = model_fault;
  return fault.empty() ? parts->faults.find_not_finite(parts->edges, parts->results) : fault;
}

/* ----------------------------------------------------------------------
   only sums over all atoms need the cell; no direction is periodic if one is not
------------------------------------------------------------------------- */

void PairMlipTorch::view_cell()
{
  const double *const h = domain->h;    // xx yy zz yz xz xy
  const double cell[9] = {h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]};
  std::copy_n(cell, 9, parts->cell);
  parts->edges.set_cell(domain->nonperiodic ? nullptr : parts->cell);
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::compute_resident(std::string &notice)
{
  parts->graph = mlip::Graph();
  ResidentStep &resident = parts->resident;
  const std::string fault = resident.evaluate(parts->models.model(0), parts->atoms);
  if (!fault.empty()) return fault;
  notice = find_close_atoms(resident.closest());
  if (!notice.empty() && parts->settings.close == CloseAtoms::ERROR) return notice;
  return parts->faults.find_not_finite(resident.atoms.rows(), resident.results());
}

/* ----------------------------------------------------------------------
   all ranks stop if one has a fault; rank 0 warns of a notice
------------------------------------------------------------------------- */

void PairMlipTorch::settle(std::string fault, std::string notice)
{
  const std::string step = "step " + std::to_string(update->ntimestep);
  if (!fault.empty()) fault = step + ", rank " + std::to_string(comm->me) + ": " + fault;
  if (!notice.empty()) notice = step + ": " + notice;
  std::string warning;
  {
    const Stopwatch waiting(parts->profile.communication);
    warning = parts->agreement.settle(fault, notice);
  }
  if (warning.empty()) return;
  parts->has_warned_of_close_atoms = true;
  if (comm->me == 0) error->warning(FLERR, MLIP_STYLE + warning);
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::build_edges()
{
  const Stopwatch watch(parts->profile.edges);
  parts->exchange.ghosts.forget();
  try {
    parts->edges.build(parts->atoms, parts->rows, parts->models.cutoff());
    if (cvflag_atom || parts->models.has_latent_charges()) parts->edges.gather_positions(parts->atoms);
    if (parts->exchange.has_features()) parts->exchange.ghosts.mark(parts->edges, atom->nlocal + atom->nghost);
    return neighbor->ago == 0 ? parts->faults.find_lost_neighbours(parts->edges.rows()) : "";
  } catch (std::exception &e) {
    return std::string("not enough memory for the edges of ") + std::to_string(atom->nlocal) + " atoms (" + e.what() +
        "); use more ranks";
  }
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::find_close_atoms(const mlip::ClosePair &pair)
{
  const CloseAtoms close = parts->settings.close;
  const bool is_told = close == CloseAtoms::WARN && parts->has_warned_of_close_atoms;
  return is_told || close == CloseAtoms::IGNORE ? "" : parts->faults.find_close_atoms(pair);
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::evaluate_models(bool has_deviations)
{
  try {
    parts->exchange.tell_needed_ghosts();
    parts->results = parts->models.evaluate(parts->edges, parts->exchange, cvflag_atom, vflag_atom);
    if (has_deviations) parts->deviations.prepare(parts->models, parts->edges);
    return "";
  } catch (LAMMPSException &) {
    throw;    // raised by LAMMPS inside a communication: it handles the other ranks
  } catch (std::exception &e) {
    return e.what();
  } catch (...) {
    return "unknown exception in the model; report a bug with this input";
  }
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::add_results()
{
  mlip::AtomSums sums;
  sums.forces = atom->f;
  if (eflag_global) sums.energy = &eng_vdwl;
  if (eflag_atom) sums.energies = eatom;
  if (vflag_global) sums.virial = virial;
  if (vflag_atom) sums.virials = vatom;
  if (cvflag_atom) sums.centroid_virials = cvatom;
  if (parts->is_resident)
    mlip::add_results(parts->resident.atoms.rows(), parts->resident.results(), sums);
  else
    mlip::add_results(parts->edges, parts->results, sums);
  keep_properties();
}

/* ----------------------------------------------------------------------
   further results for each atom, zero for atoms of other types; only a single
   model has them
------------------------------------------------------------------------- */

void PairMlipTorch::keep_properties()
{
  if (parts->models.size() != 1 || !parts->results.node_properties || parts->is_resident) return;
  const std::size_t n = parts->models.metadata(0).node_properties.size();
  parts->properties.resize(n);
  for (std::size_t k = 0; k < n; k++) {
    std::vector<double> &values = parts->properties[k];
    values.assign(atom->nmax, 0.0);
    for (int64_t row = 0; row < parts->edges.graph().n_local; row++)
      values[parts->edges.atom_of_row(row)] = parts->results.node_properties[n * row + k];
  }
}

/* ---------------------------------------------------------------------- */

bool PairMlipTorch::is_deviation_noted()
{
  const int every = parts->settings.deviation_every;
  return every > 0 && update->ntimestep % every == 0;
}

/* ----------------------------------------------------------------------
   compute pair sums pvector over ranks: rank 0 has the totals
------------------------------------------------------------------------- */

void PairMlipTorch::measure_deviations(bool is_noted)
{
  const DeviationTotals totals = parts->deviations.measure(parts->models, parts->edges, parts->exchange);
  const double values[N_EXTRA] = {totals.energy, totals.force_max, totals.force_mean};
  for (int k = 0; k < N_EXTRA; k++) pvector[k] = comm->me == 0 ? values[k] : 0.0;
  if (is_noted && comm->me == 0) parts->deviations.file.note(update->ntimestep, totals);
}
