/* ----------------------------------------------------------------------
   LAMMPS side of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_parts.h"

#include "restart_record.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
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

static constexpr char ATOM_DEVIATION[] = "force_deviation";
static constexpr char ATOM_DEVIATION_FLAG[] = "force_deviation_flag";

/* ---------------------------------------------------------------------- */

PairMlipTorch::PairMlipTorch(LAMMPS *lmp) : Pair(lmp), parts(nullptr)
{
  single_enable = 0;
  restartinfo = 1;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;

  // compute pair reads this number once, possibly before pair_coeff names the models
  nextra = N_EXTRA;
  pvector = new double[N_EXTRA]();

  parts = new Parts(lmp, this, comm, error, world);
}

/* ---------------------------------------------------------------------- */

PairMlipTorch::~PairMlipTorch()
{
  if (copymode) return;

  // LAMMPS is being cleared, so the restart records no longer apply
  if (!update) forget_records(lmp);

  delete parts;
  delete[] pvector;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
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
                   ", but the models use eV and angstrom; use: units metal");
  const PairCoefficients given = read_coefficients(lmp, narg, arg);
  if (!allocated) allocate();

  // an error from here on leaves all pairs of types unset, so that no run can start
  parts->is_ready = false;
  for (int i = 1; i <= atom->ntypes; i++) std::fill_n(setflag[i] + 1, atom->ntypes, 0);
  std::fill_n(pvector, N_EXTRA, 0.0);

  LoadedModels &loaded = parts->loaded;
  const PairSettings &settings = parts->settings;
  loaded.open(given.files, settings.n_threads, settings.device);
  loaded.map_types(given.symbols, force->pair != this);
  std::string fault = settings.takes_any_model ? "" : find_other_model(lmp, loaded.record());
  if (fault.empty()) fault = loaded.set_global_inputs(settings.global_inputs);
  if (fault.empty()) fault = loaded.find_unsupported_sum();
  if (!fault.empty()) error->all(FLERR, MLIP_STYLE + fault);
  centroidstressflag = parts->models.has_latent_charges() ? CENTROID_NOTAVAIL : CENTROID_AVAIL;

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
    if (parts->models.model(k).finds_edges()) comm_forward = std::max(comm_forward, 1);    // the owner of a ghost
  }
  comm_reverse = std::max(comm_forward, 3 * parts->models.size());    // deviations need the forces of all models
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::init_style()
{
  if (parts->models.size() == 0)
    error->all(FLERR, MLIP_STYLE + std::string("no model is given; use: pair_coeff * * file.pt2 and elements"));
  if (parts->settings.deviation_every > 0 && parts->models.size() == 1)
    error->all(FLERR, MLIP_STYLE + std::string("deviation needs two or more models, but pair_coeff names one; "
                                               "use: pair_coeff * * a.pt2 b.pt2 : and elements"));
  // pair_style may have been repeated since pair_coeff
  const std::string other_device = parts->loaded.find_other_device(parts->settings.device);
  if (!other_device.empty()) error->all(FLERR, MLIP_STYLE + other_device);
  const std::string wrong_input = parts->loaded.set_global_inputs(parts->settings.global_inputs);
  if (!wrong_input.empty()) error->all(FLERR, MLIP_STYLE + wrong_input);
  if (!force->newton_pair)
    error->all(FLERR, MLIP_STYLE + std::string("newton is off for pairs, but forces on ghosts must reach their owners; "
                                               "use: newton on"));

  const bool has_periods = domain->xperiodic || domain->yperiodic || domain->zperiodic;
  if (parts->models.has_latent_charges() && domain->nonperiodic && has_periods)
    error->all(FLERR, MLIP_STYLE + std::string("the long-range energy of the model is defined for periodic boundaries "
                                               "in all directions or in none; use: boundary p p p"));

  // a hybrid collects the sizes of its styles before pair_coeff, and the buffers of Comm follow the top style
  if (force->pair) {
    force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
    force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  }

  // only a NEB minimisation surely brings all partitions here together; otherwise each may run its own input
  bool is_shared = false;
  for (const auto &fix : modify->get_fix_list()) is_shared |= utils::strmatch(fix->style, "^neb");
  if (universe->nworlds > 1 && is_shared && update->whichflag == 2)
    parts->agreement.require_same_on_partitions(parts->models.path(0), parts->loaded.digest());

  std::string fault;
  const PairSettings &settings = parts->settings;
  if (comm->me == 0 && settings.deviation_every > 0 && !parts->deviations.file.open(settings.deviation_file))
    fault = "cannot open deviation file " + settings.deviation_file + ": " + strerror(errno) + "; check the path";
  parts->agreement.settle(fault);
  if (comm->me == 0) parts->loaded.warn_of_replaced_files();
  parts->loaded.warn_of_swapped_elements();

  parts->profile.reset(parts->models);
  // a model that finds its own edges rarely needs the list of LAMMPS; the styles of a hybrid share one list
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
  if (force->pair == this) forget_records(lmp);    // records of another restart file: this one has a single style
  keep_record(lmp, record);
  if (comm->me == 0)
    utils::logmesg(lmp, "mlip/torch: the restart file was written with {}; repeat pair_coeff\n", record.describe());
}

/* ---------------------------------------------------------------------- */

int PairMlipTorch::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/, int * /*pbc*/)
{
  return parts->profile.sent(parts->exchange.pack_owned(n, list, buf));
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::unpack_forward_comm(int n, int first, double *buf)
{
  parts->exchange.overwrite(n, first, buf);
}

/* ---------------------------------------------------------------------- */

int PairMlipTorch::pack_reverse_comm(int n, int first, double *buf)
{
  return parts->profile.sent(parts->exchange.pack_ghosts(n, first, buf));
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::unpack_reverse_comm(int n, int *list, double *buf)
{
  parts->exchange.add(n, list, buf);
}

/* ----------------------------------------------------------------------
   fix pair sets the flag for the steps on which it reads; edges of the last
   evaluation are for checks: n_edges is an int64_t, the arrays refer to rows
   of atoms of the model's types, owned atoms first; there are no edges if
   the model found its own
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
  if (strcmp(name, ATOM_DEVIATION) != 0) return find_property(name);
  // fix pair calls this on every rank, once outside a run for the number of columns; in a run it would abort each rank
  // separately, and mpiexec may lose the messages
  if (update->whichflag != 0 && !parts->deviations.are_by_atom())
    error->all(FLERR, MLIP_STYLE + std::string("per-atom force deviations were not requested for this step; "
                                               "request them in fix pair with: force_deviation 1"));
  return parts->deviations.by_atom();
}

/* ----------------------------------------------------------------------
   a further result of a single model for each atom, such as magmoms
------------------------------------------------------------------------- */

double *PairMlipTorch::find_property(const std::string &name)
{
  if (parts->models.size() != 1) return nullptr;
  const auto &names = parts->models.metadata(0).node_properties;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return nullptr;
  parts->properties.resize(names.size());
  std::vector<double> &values = parts->properties[found - names.begin()];
  if (values.size() < static_cast<std::size_t>(atom->nmax)) values.resize(atom->nmax, 0.0);    // before the first step
  return values.data();
}

/* ---------------------------------------------------------------------- */

double PairMlipTorch::memory_usage()
{
  return Pair::memory_usage() + parts->edges.bytes() + parts->resident.atoms.bytes();
}
