/* ----------------------------------------------------------------------
   LAMMPS side of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_mlip_torch.h"

#include "comm_exchange.h"
#include "edges.h"
#include "model.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "exceptions.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace LAMMPS_NS;

static const char STYLE[] = "pair_style mlip/torch: ";

struct PairMlipTorch::Parts {
  Parts(PairMlipTorch *pair, Comm *&comm, Error *&error) : exchange(pair, comm, error, edges) {}

  std::unique_ptr<mlip::Model> model;
  std::string path;
  std::vector<int> species_of_type;    // by atom type, from 1; -1: not one of the model's
  mlip::Edges edges;
  mlip::Graph graph;
  mlip::Results results;
  CommExchange exchange;
};

/* ---------------------------------------------------------------------- */

static int default_threads()
{
  const char *text = getenv("OMP_NUM_THREADS");
  const int number = text ? atoi(text) : 1;
  return number > 0 ? number : 1;
}

static std::string join(const std::vector<std::string> &words)
{
  std::string text;
  for (const auto &word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/* ---------------------------------------------------------------------- */

PairMlipTorch::PairMlipTorch(LAMMPS *lmp) : Pair(lmp), n_threads(1), parts(nullptr)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;

  parts = new Parts(this, comm, error);
}

/* ---------------------------------------------------------------------- */

PairMlipTorch::~PairMlipTorch()
{
  if (copymode) return;

  delete parts;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (neighbor->ago == 0) check_neighbour_list();

  // a rank with a fault, or without atoms, takes part in every exchange; then all stop or none
  std::string fault = build_edges();
  parts->exchange.is_mute = !fault.empty();
  if (!fault.empty()) parts->edges.clear();
  parts->graph = parts->edges.graph();

  const std::string model_fault = evaluate_model();
  if (fault.empty()) fault = model_fault;
  if (fault.empty()) fault = find_not_finite();
  if (!fault.empty())
    fault = "step " + std::to_string(update->ntimestep) + ", rank " + std::to_string(comm->me) + ": " + fault;
  raise_together(fault);

  add_results();
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::build_edges()
{
  try {
    mlip::AtomArrays atoms;
    atoms.n_local = atom->nlocal;
    atoms.n_ghost = atom->nghost;
    atoms.positions = atom->x ? atom->x[0] : nullptr;
    atoms.types = atom->type;
    atoms.species_of_type = parts->species_of_type.data();

    mlip::NeighbourRows rows;
    rows.n_centres = list->inum;
    rows.centres = list->ilist;
    rows.counts = list->numneigh;
    rows.rows = list->firstneigh;
    rows.mask = NEIGHMASK;

    parts->edges.build(atoms, rows, parts->model->metadata().cutoff);
    return neighbor->ago == 0 ? find_lost_neighbours() : "";
  } catch (std::exception &e) {
    return std::string("no memory for the edges of ") + std::to_string(atom->nlocal) + " atoms (" + e.what() +
        "); use more ranks";
  }
}

/* ----------------------------------------------------------------------
   special bonds: weight zero takes pairs out of the neighbour list, other
   weights than 1 ask for a scaling that a many-body model cannot give
------------------------------------------------------------------------- */

std::string PairMlipTorch::find_lost_neighbours()
{
  bool is_whole[4];
  for (int k = 1; k <= 3; k++) is_whole[k] = neighbor->special_flag[k] != 0 && force->special_lj[k] == 1.0;
  if (atom->molecular == Atom::ATOMIC || (is_whole[1] && is_whole[2] && is_whole[3])) return "";

  for (int i = 0; i < atom->nlocal; i++) {
    if (parts->edges.row_of_atom(i) < 0) continue;
    bool is_lost = false;
    if (atom->molecular == Atom::TEMPLATE) {
      is_lost = atom->molindex[i] >= 0;
    } else {
      const int *n = atom->nspecial[i];
      is_lost = (!is_whole[1] && n[0] > 0) || (!is_whole[2] && n[1] > n[0]) || (!is_whole[3] && n[2] > n[1]);
    }
    if (is_lost)
      return "special_bonds takes bonded neighbours of atom " + std::to_string(atom->tag[i]) +
          " out of the neighbour list or scales them, and the model needs all of them whole; "
          "use: special_bonds lj/coul 1 1 1";
  }
  return "";
}

/* ---------------------------------------------------------------------- */

std::string PairMlipTorch::evaluate_model()
{
  try {
    parts->results = parts->model->evaluate(parts->graph, parts->exchange);
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

std::string PairMlipTorch::find_not_finite()
{
  const mlip::Graph &graph = parts->graph;
  const mlip::Results &results = parts->results;
  int64_t row = -1;
  const char *what = "energy";
  for (int64_t k = 0; k < graph.n_local && row < 0; k++)
    if (!std::isfinite(results.node_energies[k])) row = k;
  for (int64_t edge = 0; edge < graph.n_edges && row < 0; edge++) {
    const double *g = results.edge_gradients + 3 * edge;
    if (std::isfinite(g[0] + g[1] + g[2])) continue;
    row = graph.edge_centre[edge];
    what = "force";
  }
  if (row < 0) return "";

  const int i = parts->edges.atom_of_row(row);
  const double *x = atom->x[i];
  return std::string("the ") + what + " of atom " + std::to_string(atom->tag_enable ? atom->tag[i] : 0) + " at " +
      std::to_string(x[0]) + " " + std::to_string(x[1]) + " " + std::to_string(x[2]) +
      " is not finite; look for overlapping atoms or too large a timestep";
}

/* ----------------------------------------------------------------------
   r_ij = x_j - x_i and g = dE/dr_ij: F_i += g, F_j -= g, virial -= r_ij (x) g
------------------------------------------------------------------------- */

void PairMlipTorch::add_results()
{
  const mlip::Graph &graph = parts->graph;
  const mlip::Edges &edges = parts->edges;
  double **f = atom->f;

  for (int64_t row = 0; row < graph.n_local; row++) {
    const double energy = parts->results.node_energies[row];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[edges.atom_of_row(row)] += energy;
  }

  double sum[6] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
  for (int64_t edge = 0; edge < graph.n_edges; edge++) {
    const int i = edges.atom_of_row(graph.edge_centre[edge]);
    const int j = edges.atom_of_row(graph.edge_neighbour[edge]);
    const double *r = graph.edge_vectors + 3 * edge;
    const double *g = parts->results.edge_gradients + 3 * edge;
    for (int k = 0; k < 3; k++) {
      f[i][k] += g[k];
      f[j][k] -= g[k];
    }
    if (!vflag_either) continue;

    const double v[6] = {-r[0] * g[0],
                         -r[1] * g[1],
                         -r[2] * g[2],
                         -0.5 * (r[0] * g[1] + r[1] * g[0]),
                         -0.5 * (r[0] * g[2] + r[2] * g[0]),
                         -0.5 * (r[1] * g[2] + r[2] * g[1])};
    for (int k = 0; k < 6; k++) sum[k] += v[k];
    if (vflag_atom) {
      for (int k = 0; k < 6; k++) {
        vatom[i][k] += 0.5 * v[k];
        vatom[j][k] += 0.5 * v[k];
      }
    }
  }
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += sum[k];
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
  n_threads = default_threads();
  for (int iarg = 0; iarg < narg; iarg += 2) {
    if (strcmp(arg[iarg], "threads") != 0)
      error->all(FLERR, std::string(STYLE) + "keyword is " + arg[iarg] + ", and the style knows: threads");
    if (iarg + 1 == narg) error->all(FLERR, std::string(STYLE) + "threads needs a number");
    n_threads = utils::inumeric(FLERR, arg[iarg + 1], false, lmp);
    if (n_threads < 1)
      error->all(FLERR, std::string(STYLE) + "threads is " + arg[iarg + 1] + ", and must be 1 or more");
  }
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::coeff(int narg, char **arg)
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, std::string(STYLE) + "units are " + update->unit_style +
                   ", and the models are in eV and angstrom; use: units metal");
  if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, std::string(STYLE) + "pair_coeff takes: * * file.pt2 and an element for each atom type");
  if (narg != 3 + atom->ntypes)
    error->all(FLERR, std::string(STYLE) + "pair_coeff names " + std::to_string(narg - 3) + " elements for " +
                   std::to_string(atom->ntypes) +
                   " atom types; name one of the model for each type, NULL for types of another style");

  if (!allocated) allocate();
  open_model(arg[2]);
  map_types(narg - 3, arg + 3);

  const mlip::Metadata &metadata = parts->model->metadata();
  int size = 0;
  for (int64_t width : metadata.feature_widths)
    size = std::max(size, CommExchange::doubles_per_row(width, metadata.feature_bytes));
  comm_forward = comm_reverse = size;

  if (comm->me == 0) {
    std::string elements;
    for (int i = 3; i < narg; i++) elements += std::string(" ") + arg[i];
    utils::logmesg(lmp, "mlip/torch: {}, types:{}, cutoff {} A, {} layer(s), {} on {}, torch {}, {} thread(s) per rank\n",
                   arg[2], elements, metadata.cutoff, metadata.n_layers, metadata.dtype, metadata.device,
                   metadata.torch_version, n_threads);
  }
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::open_model(const std::string &path)
{
  std::string fault;
  parts->model.reset();
  parts->path = path;
  try {
    parts->model = mlip::Model::open(path, mlip::find_torch_dir(), n_threads);
  } catch (std::exception &e) {
    fault = e.what();
  } catch (...) {
    fault = path + ": unknown exception while the model was opened";
  }
  raise_together(fault);
  check_same_model();
}

/* ----------------------------------------------------------------------
   nodes may see different files under one name
------------------------------------------------------------------------- */

void PairMlipTorch::check_same_model()
{
  const mlip::Metadata &metadata = parts->model->metadata();
  std::string mine = "sha256 " + metadata.source_sha256 + ", head " + metadata.head + ", " + metadata.dtype +
      ", cutoff " + std::to_string(metadata.cutoff) + ", " + join(metadata.elements);
  for (int64_t width : metadata.feature_widths) mine += " " + std::to_string(width);

  int length = mine.size();
  MPI_Bcast(&length, 1, MPI_INT, 0, world);
  std::string first = mine;
  first.resize(length);
  MPI_Bcast(&first[0], length, MPI_CHAR, 0, world);

  std::string fault;
  if (mine != first)
    fault = "rank " + std::to_string(comm->me) + " reads another " + parts->path + " (" + mine + ") than rank 0 (" +
        first + "); give every node the same file";
  raise_together(fault);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::map_types(int n_types, char **symbols)
{
  const std::vector<std::string> &known = parts->model->metadata().elements;
  std::vector<int> species(n_types + 1, -1);
  for (int type = 1; type <= n_types; type++) {
    const std::string symbol = symbols[type - 1];
    if (symbol == "NULL") {
      if (force->pair == this)
        error->all(FLERR, std::string(STYLE) + "atom type " + std::to_string(type) +
                       " is NULL, which is for types of another style; use: pair_style hybrid/overlay");
      continue;
    }
    const auto found = std::find(known.begin(), known.end(), symbol);
    if (found == known.end())
      error->all(FLERR, std::string(STYLE) + "atom type " + std::to_string(type) + " is " + symbol + ", and " +
                     parts->path + " knows " + join(known) + "; name its elements in pair_coeff");
    species[type] = found - known.begin();
  }

  int n_mapped = 0;
  for (int i = 1; i <= n_types; i++) {
    for (int j = 1; j <= n_types; j++) setflag[i][j] = species[i] >= 0 && species[j] >= 0;
    n_mapped += species[i] >= 0;
  }
  if (n_mapped == 0)
    error->all(FLERR, std::string(STYLE) + "every atom type is NULL; " + parts->path + " knows " + join(known));
  parts->species_of_type = std::move(species);
}

/* ---------------------------------------------------------------------- */

void PairMlipTorch::init_style()
{
  if (!parts->model) error->all(FLERR, std::string(STYLE) + "no model; use: pair_coeff * * file.pt2 and elements");
  if (!force->newton_pair)
    error->all(FLERR, std::string(STYLE) + "newton is off for pairs, and forces on ghosts must be sent home; use: newton on");

  // a hybrid collects the sizes of its styles before pair_coeff, and the buffers of Comm follow the top style
  if (force->pair) {
    force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
    force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  }

  neighbor->add_request(this, NeighConst::REQ_FULL);
}

/* ----------------------------------------------------------------------
   after each build of the list: settings that take pairs out of it, some of
   which commands and fixes make after init(). The same on every rank
------------------------------------------------------------------------- */

void PairMlipTorch::check_neighbour_list()
{
  const std::vector<int> &species = parts->species_of_type;

  bool is_excluded = neighbor->nex_group > 0 || neighbor->nex_mol > 0;
  for (int k = 0; k < neighbor->nex_type; k++)
    is_excluded |= species[neighbor->ex1_type[k]] >= 0 && species[neighbor->ex2_type[k]] >= 0;
  if (is_excluded)
    error->all(FLERR, std::string(STYLE) + "neigh_modify exclude takes neighbours away that the model needs; "
                   "use: neigh_modify exclude none, and hold atoms still with fix setforce");
  if (neighbor->includegroup)
    error->all(FLERR, std::string(STYLE) + "neigh_modify include leaves atoms without neighbours; "
                   "use: neigh_modify include all");

  if (!list->iskip) return;
  const int n_types = atom->ntypes;
  for (int i = 1; i <= n_types; i++)
    for (int j = 1; j <= n_types; j++)
      if (species[i] >= 0 && species[j] >= 0 && (list->iskip[i] || list->ijskip[i][j]))
        error->all(FLERR, std::string(STYLE) + "the pair of atom types " + std::to_string(i) + " and " +
                       std::to_string(j) + " was given to another style of the hybrid; use hybrid/overlay, "
                       "or NULL for one of them");
}

/* ---------------------------------------------------------------------- */

double PairMlipTorch::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "All pair coeffs are not set");
  return parts->model->metadata().cutoff;
}

/* ----------------------------------------------------------------------
   Allreduce over world: if a rank has a fault, all stop with the first one's
------------------------------------------------------------------------- */

void PairMlipTorch::raise_together(const std::string &fault)
{
  const int mine = fault.empty() ? comm->nprocs : comm->me;
  int first = comm->nprocs;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == comm->nprocs) return;

  int length = fault.size();
  MPI_Bcast(&length, 1, MPI_INT, first, world);
  std::string text = fault;
  text.resize(length);
  MPI_Bcast(&text[0], length, MPI_CHAR, first, world);
  error->all(FLERR, STYLE + text);
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
   edges of the last evaluation, for checks: n_edges is an int64_t, the
   arrays hold rows of atoms of the model's types, owned atoms first
------------------------------------------------------------------------- */

void *PairMlipTorch::extract(const char *name, int &dim)
{
  mlip::Graph &graph = parts->graph;
  dim = 0;
  if (strcmp(name, "n_edges") == 0) return &graph.n_edges;
  dim = 1;
  if (strcmp(name, "edge_centre") == 0) return const_cast<int64_t *>(graph.edge_centre);
  if (strcmp(name, "edge_neighbour") == 0) return const_cast<int64_t *>(graph.edge_neighbour);
  if (strcmp(name, "edge_vectors") == 0) return const_cast<double *>(graph.edge_vectors);
  return nullptr;
}

/* ---------------------------------------------------------------------- */

double PairMlipTorch::memory_usage()
{
  return Pair::memory_usage() + parts->edges.bytes();
}
