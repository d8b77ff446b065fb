/* ----------------------------------------------------------------------
Decisions that all ranks of pair_style mlip/torch take together.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "agreement.h"

#include "pair_arguments.h"

#include "comm.h"
#include "error.h"
#include "universe.h"

#include <cstdio>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

std::string Agreement::settle(const std::string &fault, const std::string &notice)
{
  const int nobody = comm->nprocs;
  const int mine[2] = {fault.empty() ? nobody : comm->me, notice.empty() ? nobody : comm->me};
  int first[2] = {nobody, nobody};
  MPI_Allreduce(mine, first, 2, MPI_INT, MPI_MIN, world);
  if (first[0] != nobody) stop(text_of_rank(fault, first[0], world));
  return first[1] == nobody ? "" : text_of_rank(notice, first[1], world);
}

/* ----------------------------------------------------------------------
   each partition writes to its own screen file and log, and a partition that
   stops ends the others too: print the reason also to stderr
------------------------------------------------------------------------- */

void Agreement::stop(const std::string &fault)
{
  std::string text = MLIP_STYLE + fault;
  if (universe->nworlds > 1) {
    text += " (in partition " + std::to_string(universe->iworld + 1) + ")";
    if (comm->me == 0) fprintf(stderr, "ERROR: %s\n", text.c_str());
  }
  error->all(FLERR, text);
}

/* ---------------------------------------------------------------------- */

void Agreement::require_same_on_ranks(const std::string &name, const std::string &text)
{
  const std::string first = text_of_rank(text, 0, world);
  std::string fault;
  if (text != first)
    fault = "rank " + std::to_string(comm->me) + " read " + name + " (" + text + "), which differs from rank 0 (" +
        first + "); give every node the same file";
  settle(fault);
}

/* ---------------------------------------------------------------------- */

void Agreement::require_same_on_partitions(const std::string &name, const std::string &text)
{
  const MPI_Comm everyone = universe->uworld;
  const std::string first = text_of_rank(text, 0, everyone);
  const int nobody = universe->nprocs, mine = text != first ? universe->me : nobody;
  int other = nobody;
  MPI_Allreduce(&mine, &other, 1, MPI_INT, MPI_MIN, everyone);
  if (other == nobody) return;

  const std::string its_name = text_of_rank(name, other, everyone);
  const std::string its_text = text_of_rank(text, other, everyone);
  const std::string its_partition = text_of_rank(std::to_string(universe->iworld + 1), other, everyone);
  error->universe_all(FLERR, MLIP_STYLE + ("partition " + its_partition) + " has model " + its_name + " (" + its_text +
                                 "), which differs from partition 1 (" + first +
                                 "), but both take part in one calculation; give every partition the same model");
}

/* ---------------------------------------------------------------------- */

std::string Agreement::text_of_rank(const std::string &mine, int rank, MPI_Comm communicator)
{
  int length = static_cast<int>(mine.size());
  MPI_Bcast(&length, 1, MPI_INT, rank, communicator);
  std::string text = mine;
  text.resize(length);
  MPI_Bcast(&text[0], length, MPI_CHAR, rank, communicator);
  return text;
}
