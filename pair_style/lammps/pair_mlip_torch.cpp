/* ----------------------------------------------------------------------
   LAMMPS side of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_mlip_torch.h"

#include "agreement.h"
#include "atom_sums.h"
#include "comm_exchange.h"
#include "deviations.h"
#include "edges.h"
#include "loaded_models.h"
#include "neighbour_rules.h"
#include "pair_arguments.h"
#include "resident_step.h"
#include "restart_record.h"
#include "step_faults.h"
#include "step_profile.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "exceptions.h"
#include "fix.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "universe.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr int N_EXTRA = 3;    // numbers that compute pair shows
static constexpr char ATOM_DEVIATION[] = "force_deviation";
static constexpr char ATOM_DEVIATION_FLAG[] = "force_deviation_flag";

struct PairMlipTorch::Parts {
  Parts(LAMMPS *lmp, PairMlipTorch *pair, Comm *&comm, Error *&error) :
      agreement(lmp), rules(lmp), faults(lmp), profile(lmp), deviations(lmp), loaded(lmp, agreement),
      exchange(pair, comm, error, profile.communication), resident(lmp, faults, profile, exchange)
  {
  }

  PairSettings settings;
  Agreement agreement;
  NeighbourRules rules;
  StepFaults faults;
  StepProfile profile;
  Deviations deviations;
  LoadedModels loaded;

  mlip::Committee &models = loaded.committee;
  mlip::AtomArrays atoms;       // what LAMMPS has in this step
  mlip::NeighbourRows rows;
  mlip::Edges edges;
  mlip::Graph graph;
  mlip::Results results;
  CommExchange exchange;
  ResidentStep resident;
  bool is_resident = false;     // this step takes the model's own edges
  bool has_warned_of_close_atoms = false;
  bool is_ready = false;    // LAMMPS has set itself up for these models
};

/* ---------------------------------------------------------------------- */

PairMlipTorch::PairMlipTorch(LAMMPS *lmp) : Pair(lmp), parts(nullptr)
{
  single_enable = 0;
  restartinfo = 1;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;

  // compute pair asks for the number once, and models may come later
  nextra = N_EXTRA;
  pvector = new double[N_EXTRA]();

  parts = new Parts(lmp, this, comm, error);
}

/* ---------------------------------------------------------------------- */

PairMlipTorch::~PairMlipTorch()
{
  if (copymode) return;

  // LAMMPS is cleared, and what a restart file said is of a box that goes
  if (!update) forget_records(lmp);

  delete parts;
  delete[] pvector;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::compute(int eflag, int vflag)
{
  if (!parts->is_ready)
    error->all(FLERR, MLIP_STYLE + std::string("pair_coeff was given after the last set-up of a run, and neighbours "
                                               "and buffers are those of another model; use: run without pre no"));
  parts->profile.begin(parts->models);
  const Stopwatch watch(parts->profile.total);
  ev_init(eflag, vflag);
  if (neighbor->ago == 0) parts->rules.check_list(list, parts->loaded.kind_of_type);

  view_atoms();

  // a rank with a fault, or without atoms, takes part in every exchange; then all stop or none
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
   built now where LAMMPS builds it on request alone
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
   virials of atoms and deviations need the gradients of edges; the same
   answer on every rank
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
   all ranks stop with the fault of one, or warn
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
  try {
    parts->edges.build(parts->atoms, parts->rows, parts->models.cutoff());
    if (cvflag_atom) parts->edges.gather_positions(parts->atoms);
    return neighbor->ago == 0 ? parts->faults.find_lost_neighbours(parts->edges.rows()) : "";
  } catch (std::exception &e) {
    return std::string("no memory for the edges of ") + std::to_string(atom->nlocal) + " atoms (" + e.what() +
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
    parts->results = parts->models.evaluate(parts->edges, parts->exchange, cvflag_atom);
    if (has_deviations) parts->deviations.prepare(parts->models, parts->edges);
    return "";
  } catch (LAMMPSException &) {
    throw;    // raised by LAMMPS inside a communication: it knows who else stops
  } catch (std::exception &e) {
    return e.what();
  } catch (...) {
    return "unknown exception in the model";
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
}

/* ---------------------------------------------------------------------- */

bool PairMlipTorch::is_deviation_noted()
{
  const int every = parts->settings.deviation_every;
  return every > 0 && update->ntimestep % every == 0;
}

/* ----------------------------------------------------------------------
   compute pair sums pvector over ranks: rank 0 holds the totals
------------------------------------------------------------------------- */

void PairMlipTorch::measure_deviations(bool is_noted)
{
  const DeviationTotals totals = parts->deviations.measure(parts->models, parts->edges, parts->exchange);
  const double values[N_EXTRA] = {totals.energy, totals.force_max, totals.force_mean};
  for (int k = 0; k < N_EXTRA; k++) pvector[k] = comm->me == 0 ? values[k] : 0.0;
  if (is_noted && comm->me == 0) parts->deviations.file.note(update->ntimestep, totals);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::allocate()
{
  allocated = 1;
  const int n = atom->ntypes;
  memory->create(setflag, n + 1, n + 1, "pair:setflag");
  memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::settings(int narg, char **arg)
{
  parts->settings = read_settings(lmp, narg, arg);
  parts->models.set_threads(parts->settings.n_threads);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::coeff(int narg, char **arg)
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, MLIP_STYLE + ("units are " + std::string(update->unit_style)) +
                   ", and the models are in eV and angstrom; use: units metal");
  const PairCoefficients given = read_coefficients(lmp, narg, arg);
  if (!allocated) allocate();

  // what is refused from here on leaves no pair of types set, so that no run starts
  parts->is_ready = false;
  for (int i = 1; i <= atom->ntypes; i++) std::fill_n(setflag[i] + 1, atom->ntypes, 0);
  std::fill_n(pvector, N_EXTRA, 0.0);

  LoadedModels &loaded = parts->loaded;
  const PairSettings &settings = parts->settings;
  loaded.open(given.files, settings.n_threads, settings.device);
  loaded.map_types(given.symbols, force->pair != this);
  const std::string fault = settings.takes_any_model ? "" : find_other_model(lmp, loaded.record());
  if (!fault.empty()) error->all(FLERR, MLIP_STYLE + fault);

  const std::vector<int> &kinds = loaded.kind_of_type;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++) setflag[i][j] = kinds[i] >= 0 && kinds[j] >= 0;
  const std::vector<double> smallest = parts->models.min_distances();
  parts->edges.watch_distances(smallest, *std::max_element(kinds.begin(), kinds.end()) + 1);
  parts->resident.forget();
  parts->resident.atoms.name_kinds(loaded.species_of_kind(0), smallest);
  parts->has_warned_of_close_atoms = false;

  size_communication();
  if (comm->me == 0) loaded.log(settings.n_threads);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::size_communication()
{
  comm_forward = comm_reverse = 0;
  for (int k = 0; k < parts->models.size(); k++) {
    const mlip::Metadata &metadata = parts->models.metadata(k);
    for (int64_t width : metadata.feature_widths)
      comm_forward = std::max(comm_forward, CommExchange::doubles_per_row(width, metadata.feature_bytes));
    if (parts->models.model(k).finds_edges()) comm_forward = std::max(comm_forward, 1);    // a ghost's owner
  }
  comm_reverse = std::max(comm_forward, 3 * parts->models.size());    // deviations send forces of all models
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::init_style()
{
  if (parts->models.size() == 0)
    error->all(FLERR, MLIP_STYLE + std::string("no model; use: pair_coeff * * file.pt2 and elements"));
  if (parts->settings.deviation_every > 0 && parts->models.size() == 1)
    error->all(FLERR, MLIP_STYLE + std::string("deviation is of two or more models, and pair_coeff names one; "
                                               "use: * * a.pt2 b.pt2 : and elements"));
  // pair_style may have been given again since
  const std::string other_device = parts->loaded.find_other_device(parts->settings.device);
  if (!other_device.empty()) error->all(FLERR, MLIP_STYLE + other_device);
  if (!force->newton_pair)
    error->all(FLERR, MLIP_STYLE + std::string("newton is off for pairs, and forces on ghosts must be sent home; "
                                               "use: newton on"));

  // a hybrid collects the sizes of its styles before pair_coeff, and the buffers of Comm follow the top style
  if (force->pair) {
    force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
    force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  }

  // only where partitions surely come here together, to minimise a band: elsewhere they may run inputs of their own
  bool is_shared = false;
  for (const auto &fix : modify->get_fix_list()) is_shared |= utils::strmatch(fix->style, "^neb");
  if (universe->nworlds > 1 && is_shared && update->whichflag == 2)
    parts->agreement.require_same_on_partitions(parts->models.path(0), parts->loaded.digest());

  std::string fault;
  const PairSettings &settings = parts->settings;
  if (comm->me == 0 && settings.deviation_every > 0 && !parts->deviations.file.open(settings.deviation_file))
    fault = "cannot open " + settings.deviation_file + " for deviations: " + strerror(errno);
  parts->agreement.settle(fault);
  if (comm->me == 0) parts->loaded.warn_of_replaced_files();
  parts->loaded.warn_of_swapped_elements();

  parts->profile.reset(parts->models);
  // a model that finds its own edges asks for LAMMPS's list now and then; a hybrid shares one list between its styles
  const bool is_occasional = parts->models.size() == 1 && parts->models.model(0).finds_edges() && force->pair == this;
  neighbor->add_request(this, NeighConst::REQ_FULL | (is_occasional ? NeighConst::REQ_OCCASIONAL : 0));
  parts->is_ready = true;
}

/* ---------------------------------------------------------------------- */

double PairMlipTorch::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "All pair coeffs are not set");
  return parts->models.cutoff();
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::finish()
{
  parts->deviations.file.flush();
  if (parts->settings.has_profile) parts->profile.print(parts->models);
  parts->profile.reset(parts->models);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::write_restart(FILE *fp)
{
  write_restart_settings(fp);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::read_restart(FILE *fp)
{
  read_restart_settings(fp);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::write_restart_settings(FILE *fp)
{
  RestartRecord record = parts->loaded.record();
  record.settings = parts->settings.kept;
  record.write(fp);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::read_restart_settings(FILE *fp)
{
  RestartRecord record;
  std::string fault;
  try {
    record = RestartRecord::read(fp, world);
  } catch (std::exception &e) {
    fault = e.what();
  }
  parts->agreement.settle(fault);

  std::vector<char *> words;
  for (auto &word : record.settings) words.push_back(&word[0]);
  settings(static_cast<int>(words.size()), words.data());
  if (record.models.empty()) return;
  if (force->pair == this) forget_records(lmp);    // of another restart file: this one has but one style
  keep_record(lmp, record);
  if (comm->me == 0)
    utils::logmesg(lmp, "mlip/torch: the restart file was written with {}; give pair_coeff again\n", record.describe());
}

/* ---------------------------------------------------------------------- */

int PairMlipTorch::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/, int * /*pbc*/)
{
  return parts->exchange.pack(n, list, 0, buf);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::unpack_forward_comm(int n, int first, double *buf)
{
  parts->exchange.overwrite(n, first, buf);
}

/* ---------------------------------------------------------------------- */

int PairMlipTorch::pack_reverse_comm(int n, int first, double *buf)
{
  return parts->exchange.pack(n, nullptr, first, buf);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::unpack_reverse_comm(int n, int *list, double *buf)
{
  parts->exchange.add(n, list, buf);
}

/* ----------------------------------------------------------------------
   fix pair sets the flag on the steps on which it will read; edges of the
   last evaluation, for checks: n_edges is an int64_t, the arrays hold rows
   of atoms of the model's types, owned atoms first; none where the model
   found its own
------------------------------------------------------------------------- */

void *PairMlipTorch::extract(const char *name, int &dim)
{
  mlip::Graph &graph = parts->graph;
  dim = 0;
  if (strcmp(name, ATOM_DEVIATION_FLAG) == 0) return &parts->deviations.is_wanted_by_atom;
  if (strcmp(name, "n_edges") == 0) return &graph.n_edges;
  dim = 1;
  if (strcmp(name, "edge_centre") == 0) return const_cast<int64_t *>(graph.edge_centre);
  if (strcmp(name, "edge_neighbour") == 0) return const_cast<int64_t *>(graph.edge_neighbour);
  if (strcmp(name, "edge_vectors") == 0) return const_cast<double *>(graph.edge_vectors);
  return nullptr;
}

/* ---------------------------------------------------------------------- */

void *PairMlipTorch::extract_peratom(const char *name, int &n_columns)
{
  n_columns = 0;
  if (strcmp(name, ATOM_DEVIATION) != 0) return nullptr;
  // fix pair asks on every rank, once outside of a run for the number of columns; in a run it would abort each rank
  // alone, and mpiexec may lose what they say
  if (update->whichflag != 0 && !parts->deviations.are_by_atom())
    error->all(FLERR, MLIP_STYLE + std::string("force deviations of atoms were not asked for in this step; "
                                               "fix pair does with a trigger: force_deviation 1"));
  return parts->deviations.by_atom();
}

/* ---------------------------------------------------------------------- */

double PairMlipTorch::memory_usage()
{
  return Pair::memory_usage() + parts->edges.bytes() + parts->resident.atoms.bytes();
}
